# SPDX-License-Identifier: Apache-2.0
"""What the instructions of a line waited for, with their queue idle meanwhile."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from nkisim.errors import Location
from nkisim.timing.costs import Transfer
from nkisim.timing.task import Stream
from nkisim.timing.timeline import Timeline


class Wait(NamedTuple):
    """A cause of waiting: the line of the instruction that was waited for, and what for (a reason of `Timeline`)."""

    line: Location
    reason: str


def waits(timeline: Timeline) -> dict[Location, dict[Wait, float]]:
    """Nanoseconds by line and cause, all its instructions on all cores together.

    An instruction waits from the moment its queue has nothing to do to the moment it is issued.
    """
    found: defaultdict[Location, dict[Wait, float]] = defaultdict(lambda: defaultdict(float))
    free: defaultdict[Stream, float] = defaultdict(float)
    for task in sorted(timeline.tasks, key=lambda task: timeline.issue[task.number]):
        n, cost, stream = task.number, timeline.costs[task.work], (task.core, task.queue)
        idle, cause = timeline.issue[n] - free[stream], timeline.because[n]
        if idle > 0 and cause >= 0:
            found[task.location][Wait(timeline.tasks[cause].location, timeline.reason[n])] += idle
        until = timeline.issue[n] + cost.issue.ns if isinstance(cost, Transfer) else timeline.end[n]
        free[stream] = max(free[stream], until)
    return found
