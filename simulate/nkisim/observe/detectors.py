"""The detectors of every run. Capacity is not among them: it is also a measurement, so its owner keeps it."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe.duplicate_rows import DuplicateRows
from nkisim.observe.event import Observer
from nkisim.observe.ignored import IgnoredArguments
from nkisim.observe.lost_results import LostResults
from nkisim.observe.overlaps import Overlaps
from nkisim.observe.races import Races
from nkisim.observe.uninitialized import Uninitialized


def standard_detectors(machine: Machine) -> list[Observer]:
    """Fresh detectors for one launch. All of them together cost about a tenth of the time of a run."""
    return [Uninitialized(), Races(), DuplicateRows(), Overlaps(machine), LostResults(), IgnoredArguments()]
