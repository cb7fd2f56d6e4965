"""Which transfer another one had to wait for: the one that used its DMA engines, or the HBM stack, just before."""

from __future__ import annotations

from bisect import bisect_right

from nkisim.timing.costs import Transfer
from nkisim.timing.timeline import Timeline

_TOLERANCE = 1e-6  # ns
_MOST_LOOKED_AT = 64  # transfers; a queue is rarely longer, and the path stays a path without


class Predecessors:
    """The transfers of a timeline in the order of their ends, on each core and on all.

    A timeline does not say whose bytes a transfer waited behind; the latest one that ended in time is taken.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._stack_rate = timeline.machine.number("hbm.stack_rate")
        order = sorted((task.number for task, _ in timeline.transfers()), key=timeline.end.__getitem__)
        self._all = order, [timeline.end[n] for n in order]
        self._of_core = {}
        for core in range(timeline.cores):
            own = [n for n in order if timeline.tasks[n].core == core]
            self._of_core[core] = own, [timeline.end[n] for n in own]

    def before(self, number: int, until: float) -> int | None:
        """The transfer behind which `number` waited for engines or the stack, None if it did not.

        Args:
            until: later than this, nothing counts.
        """
        t = self._timeline
        task, cost = t.tasks[number], t.costs[t.tasks[number].work]
        if not isinstance(cost, Transfer) or t.reason[number] not in ("dma", "hbm"):
            return None
        ready = t.issue[number] + cost.issue.ns + cost.start.ns
        by_stack = t.reason[number] == "hbm"
        own = cost.hbm_bytes / self._stack_rate if by_stack else cost.moving.ns
        order, ends = self._all if by_stack else self._of_core[task.core]
        last = bisect_right(ends, min(until, t.end[number] - own) + _TOLERANCE)
        for n in reversed(order[max(0, last - _MOST_LOOKED_AT) : last]):
            if t.end[n] <= ready:
                return None
            if n != number and t.end[n] < until and self._shares(n, cost, by_stack):
                return n
        return None

    def _shares(self, other: int, cost: Transfer, by_stack: bool) -> bool:
        before = self._timeline.costs[self._timeline.tasks[other].work]
        assert isinstance(before, Transfer)
        if by_stack:
            return before.hbm_bytes > 0
        return any(a and b for a, b in zip(before.engines, cost.engines, strict=True))
