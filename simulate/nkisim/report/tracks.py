# SPDX-License-Identifier: Apache-2.0
"""Which row of a picture each instruction goes to, such that nothing on a row overlaps."""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.timing import Timeline
from nkisim.timing.costs import Transfer
from nkisim.timing.task import Task

_ENGINES = {"tensor": "Tensor", "vector": "Vector", "scalar": "Scalar", "gpsimd": "GpSimd", "sync": "Sync"}


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of work, in whole nanoseconds; at least one of them.

    Attributes:
        issues: it is the engine's work of issuing a transfer, not the transfer.
    """

    task: int
    begin: int
    end: int
    issues: bool = False


@dataclass
class Track:
    """A row: slices in order of time, of which none overlap.

    Attributes:
        lane: 0, or how many rows of the same name come before it.
    """

    core: int
    name: str
    lane: int
    slices: list[Slice] = field(default_factory=list)

    @property
    def title(self) -> str:
        return self.name if self.lane == 0 else f"{self.name} ({self.lane + 1})"


def tracks(timeline: Timeline) -> list[Track]:
    """All rows: core by core, engines first, then DMA queues; what overlaps on one goes to a further lane of it."""
    rows: dict[tuple[int, str], list[Slice]] = {}
    for task in timeline.tasks:
        n, cost = task.number, timeline.costs[task.work]
        rows.setdefault((task.core, track_name(task, cost)), []).append(_slice(n, timeline.begin[n], timeline.end[n]))
        if isinstance(cost, Transfer) and task.queue in _ENGINES:
            issued = timeline.issue[n] + cost.issue.ns
            own = rows.setdefault((task.core, _ENGINES[task.queue]), [])
            own.append(_slice(n, timeline.issue[n], issued, issues=True))
    order = [*_ENGINES.values()]
    place = {name: i for i, name in enumerate(order)}
    keys = sorted(rows, key=lambda key: (key[0], place.get(key[1], len(order)), key[1]))
    return [track for core, name in keys for track in _lanes(core, name, rows[core, name])]


def track_name(task: Task, cost: object) -> str:
    """The row of a task: its engine, or for a transfer the queue that starts it."""
    if not isinstance(cost, Transfer):
        return _ENGINES.get(task.engine, "Sync")
    kind, _, place = task.queue.partition(" ")
    if kind == "dma":
        return f"DMA of line {place}"
    return f"DMA queue {_ENGINES.get(task.queue, place)}"


def _slice(task: int, begin: float, end: float, issues: bool = False) -> Slice:
    first = round(begin)
    return Slice(task, first, max(first + 1, round(end)), issues)


def _lanes(core: int, name: str, slices: list[Slice]) -> list[Track]:
    """Each slice goes to the first lane that is free."""
    lanes: list[Track] = []
    for piece in sorted(slices, key=lambda s: (s.begin, s.end)):
        lane = next((t for t in lanes if t.slices[-1].end <= piece.begin), None)
        if lane is None:
            lane = Track(core, name, len(lanes))
            lanes.append(lane)
        lane.slices.append(piece)
    return lanes
