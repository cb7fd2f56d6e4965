# SPDX-License-Identifier: Apache-2.0
"""What the latency is made of: from the last task back over what each one waited for last.

The steps of the path follow each other without a gap, so their durations add up to the latency. A step lasts from the
moment its task is issued to the moment the next task of the path is; it is cut into what happened meanwhile. A transfer
that waits on the DMA engines behind another one of its queue takes over at the end of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from nkisim.timing.costs import Cost, Transfer
from nkisim.timing.duration import NOTHING, Duration, duration, fixed
from nkisim.timing.predecessors import Predecessors
from nkisim.timing.task import Task
from nkisim.timing.timeline import Timeline

COMPUTE = ("tensor", "vector", "scalar", "gpsimd")
RESOURCES = (*COMPUTE, "dma", "hbm", "dma_issue", "sync", "latency")
"""What a piece of the path can wait for: an engine at work; the DMA engines or the HBM stack moving bytes; a queue that
issues transfers; barriers, semaphores, registers and loops; a fixed delay (pipelines, the start of a transfer)."""


class PathPiece(NamedTuple):
    """A part of a step: one of RESOURCES, and the time it took."""

    resource: str
    duration: Duration


class PathStep(NamedTuple):
    """A task of the path, and its time until the next one takes over (ns)."""

    task: int
    start: float
    end: float
    pieces: tuple[PathPiece, ...]

    @property
    def ns(self) -> float:
        return self.end - self.start


@dataclass(eq=False)
class CriticalPath:
    """The chain of tasks that makes a program as long as it is.

    Attributes:
        steps: in order of time, from 0 to the latency.
    """

    steps: list[PathStep]

    @cached_property
    def ns_by_resource(self) -> dict[str, float]:
        """Nanoseconds of the path by resource, the largest first; their sum is the latency."""
        total = dict.fromkeys(RESOURCES, 0.0)
        for step in self.steps:
            for piece in step.pieces:
                total[piece.resource] += piece.duration.ns
        return {name: total[name] for name in sorted(RESOURCES, key=lambda name: -total[name]) if total[name]}

    @property
    def bound_by(self) -> str:
        """The resource with the largest part; "nothing" for a program without instructions."""
        return next(iter(self.ns_by_resource), "nothing")

    @cached_property
    def confidence(self) -> Duration:
        """The path's nanoseconds by how well the constants behind them are known."""
        parts = [sum(p) for p in zip(*(piece.duration for step in self.steps for piece in step.pieces), strict=True)]
        return Duration(*parts)


def critical_path(timeline: Timeline) -> CriticalPath:
    """The critical path of a schedule."""
    if not timeline.tasks:
        return CriticalPath([])
    cutter, servers = _Cutter(timeline), Predecessors(timeline)
    steps: list[PathStep] = []
    number = max(range(len(timeline.tasks)), key=timeline.done.__getitem__)
    end, drained = timeline.latency_ns, False
    while number >= 0:
        server = servers.before(number, end)
        before = server if server is not None else timeline.because[number]
        start = timeline.end[before] if server is not None else timeline.issue[number] if before >= 0 else 0.0
        steps.append(PathStep(number, start, end, tuple(cutter.pieces(number, start, end, drained))))
        drained = server is None and before >= 0 and _is_drained(timeline.tasks[before], timeline.tasks[number])
        number, end = before, start
    return CriticalPath(steps[::-1])


class _Cutter:
    """Cuts steps into pieces."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline, machine = timeline, timeline.machine
        self._turn = fixed(machine, "sync.loop_turn")
        self._semaphore = fixed(machine, "sync.semaphore")
        self._wake = fixed(machine, "dma.to_engine")
        self._table = fixed(machine, "act_time.table_load")
        self._stack = duration(machine, 1.0, "hbm.stack_rate")

    def pieces(self, number: int, start: float, end: float, drained: bool) -> Iterator[PathPiece]:
        """What happened from `start` to `end`, when `number` was waited for, and the core drained behind it or not."""
        at, limit = start, max(start, self._timeline.done[number]) if drained else end
        for resource, until, basis in self._marks(number):
            until = min(until, limit)
            if until > at:
                yield PathPiece(resource, _spread(basis, until - at))
                at = until
        if end > at:
            yield PathPiece("sync", _spread(self._turn, end - at))

    def _marks(self, number: int) -> Iterator[tuple[str, float, Duration]]:
        """Resource, when it is through with the task, and what that time rests on; in order of time."""
        t = self._timeline
        task, issue, begin, end, done = t.tasks[number], t.issue[number], t.begin[number], t.end[number], t.done[number]
        cost = t.costs[task.work]
        yield "sync", issue, self._turn
        if isinstance(cost, Transfer):
            issued = issue + cost.issue.ns
            yield "gpsimd" if task.queue == "gpsimd" else "dma_issue", issued, cost.issue
            yield "latency", issued + cost.start.ns, cost.start
            from_hbm = t.reason[number] == "hbm"
            yield ("hbm", end, self._stack) if from_hbm else ("dma", end, cost.moving)
            yield "latency", done, cost.complete
            yield "latency", float("inf"), self._wake
            return
        engine = task.engine if task.engine in COMPUTE and task.meeting < 0 else "sync"
        yield engine, begin, self._table if cost.table else (cost.load if cost.load_ns else cost.busy)
        yield engine, end, cost.busy
        yield "latency", done, _after_busy(cost)
        yield "sync", float("inf"), self._semaphore


def _after_busy(cost: Cost) -> Duration:
    """What the time between the end of the work and its result rests on."""
    rest = Duration(*(max(0.0, a - b) for a, b in zip(cost.latency, cost.busy, strict=True)))
    return rest if rest.ns else cost.latency


def _spread(basis: Duration, ns: float) -> Duration:
    """`ns` that rest on the same constants as `basis`; on assumed ones where there is nothing to go by."""
    return basis.times(ns / basis.ns) if basis is not NOTHING and basis.ns else Duration(assumed=ns)


def _is_drained(before: Task, after: Task) -> bool:
    """Whether the core was at rest between the two."""
    return before.core == after.core and before.epoch < after.epoch
