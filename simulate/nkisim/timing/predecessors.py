# SPDX-License-Identifier: Apache-2.0
"""Which transfer another one had to wait for: the one before it in its queue, if that was still moving."""

from __future__ import annotations

from collections import defaultdict

from nkisim.timing.costs import Transfer
from nkisim.timing.timeline import Timeline

_MOST_LOOKED_AT = 64  # transfers; those before are on other engines, and the path stays a path without


class Predecessors:
    """The transfers of each queue, in the order of their ends."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._queues: dict[tuple[int, str], list[int]] = defaultdict(list)
        self._position: dict[int, int] = {}
        for number in sorted((task.number for task, _ in timeline.transfers()), key=timeline.end.__getitem__):
            task = timeline.tasks[number]
            queue = self._queues[task.core, task.queue]
            self._position[number] = len(queue)
            queue.append(number)

    def before(self, number: int, until: float) -> int | None:
        """The transfer behind which `number` waited on the engines; None if it did not.

        Args:
            until: later than this, nothing counts.
        """
        t = self._timeline
        task = t.tasks[number]
        cost = t.costs[task.work]
        if not isinstance(cost, Transfer) or t.reason[number] not in ("dma", "hbm"):
            return None
        ready = t.issue[number] + cost.issue.ns + cost.start.ns
        last = self._position[number]
        for other in reversed(self._queues[task.core, task.queue][max(0, last - _MOST_LOOKED_AT) : last]):
            if t.end[other] <= ready:
                return None
            if t.end[other] < until and self._share_engines(other, cost):
                return other
        return None

    def _share_engines(self, other: int, cost: Transfer) -> bool:
        before = self._timeline.costs[self._timeline.tasks[other].work]
        assert isinstance(before, Transfer)
        return any(a and b for a, b in zip(before.engines, cost.engines, strict=True))
