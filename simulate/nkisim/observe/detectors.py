# SPDX-License-Identifier: Apache-2.0
"""The detectors of every run, in one list."""

from __future__ import annotations

from nkisim.observe.capacity import Capacity
from nkisim.observe.duplicate_rows import DuplicateRows
from nkisim.observe.event import Observer
from nkisim.observe.ignored import IgnoredArguments
from nkisim.observe.loop_counts import LoopCounts
from nkisim.observe.lost_results import LostResults
from nkisim.observe.neighbouring_sums import NeighbouringSums
from nkisim.observe.overlaps import Overlaps
from nkisim.observe.races import Races
from nkisim.observe.shifted_overlaps import ShiftedOverlaps
from nkisim.observe.uninitialized import Uninitialized


def standard_detectors(capacity: Capacity) -> list[Observer]:
    """Detectors for one launch. All of them together cost about a tenth of the time of a run.

    Args:
        capacity: the detector that also measures, whose owner may ask it afterwards. The others are made here.
    """
    machine = capacity.machine
    writes: list[Observer] = [DuplicateRows(), Overlaps(machine), ShiftedOverlaps()]
    sums: list[Observer] = [LostResults(), NeighbouringSums(machine.psum_bank_bytes)]
    return [Uninitialized(), Races(), *writes, *sums, LoopCounts(), IgnoredArguments(), capacity]
