# SPDX-License-Identifier: Apache-2.0
"""What happened, and who watches. Observers read events; they never touch tensors."""

from nkisim.observe.capacity import Capacity
from nkisim.observe.counters import Counters
from nkisim.observe.detectors import standard_detectors
from nkisim.observe.duplicate_rows import DuplicateRows
from nkisim.observe.event import Event, Finding, LoopMark, Observer, Work
from nkisim.observe.ignored import IgnoredArguments, Note
from nkisim.observe.loop_counts import LoopCounts
from nkisim.observe.lost_results import LostResults
from nkisim.observe.neighbouring_sums import NeighbouringSums
from nkisim.observe.overlaps import Overlaps
from nkisim.observe.policy import Policy
from nkisim.observe.position import Position
from nkisim.observe.races import Races
from nkisim.observe.recorder import Recorder
from nkisim.observe.shifted_overlaps import ShiftedOverlaps
from nkisim.observe.traits import CostClass, Meeting, Traits
from nkisim.observe.uninitialized import Uninitialized

__all__ = [
    "Capacity",
    "CostClass",
    "Counters",
    "DuplicateRows",
    "Event",
    "Finding",
    "IgnoredArguments",
    "LoopCounts",
    "LoopMark",
    "LostResults",
    "Meeting",
    "NeighbouringSums",
    "Note",
    "Observer",
    "Overlaps",
    "Policy",
    "Position",
    "Races",
    "Recorder",
    "ShiftedOverlaps",
    "Traits",
    "Uninitialized",
    "Work",
    "standard_detectors",
]
