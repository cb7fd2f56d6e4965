# SPDX-License-Identifier: Apache-2.0
"""The DMA engines of a launch: in order within a queue, shared fairly between queues, slowed by the HBM stack.

The documentation says that transfers of one queue run in order on an engine and that an engine serves its queues round
robin. Descriptors are small against transfers, so this is computed as a flow: n queues that have work each get 1/n of
an engine. Engines that have seen the same transfers since they were idle are computed together, as one lane.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from nkisim.timing.costs import Transfer

_NEAR = 1e-6


@dataclass(eq=False)
class _Lane:
    """Equal engines of one core.

    Attributes:
        served: nanoseconds of work each queue that always had work would have got.
        at: the flow when `served` was computed.
        queues: per queue the transfers behind the first one, with the work each brings.
        heads: the first transfer of each queue that has work: when it is done (in `served`), its number and queue.
    """

    core: int
    engines: tuple[int, ...]
    served: float = 0.0
    at: float = 0.0
    queues: dict[str, deque[tuple[int, float]]] = field(default_factory=dict)
    heads: list[tuple[float, int, str]] = field(default_factory=list)
    demand: float = 0.0
    version: int = 0

    def serve(self, flow: float) -> None:
        """Bring `served` up to date."""
        if self.heads:
            self.served += (flow - self.at) / len(self.heads)
        self.at = flow

    def split(self, engines: tuple[int, ...]) -> _Lane:
        """A lane of `engines`, in the same state; they leave this one."""
        self.engines = tuple(e for e in self.engines if e not in engines)
        queues = {name: deque(waiting) for name, waiting in self.queues.items()}
        return _Lane(self.core, engines, self.served, self.at, queues, list(self.heads), self.demand)


class DmaEngines:
    """All DMA engines of a launch.

    Args:
        cores: which cores there are.
        engines: engines of each.
        stack_rate: bytes/ns of the HBM stack that they share.

    Attributes:
        begins: when the first byte of a transfer moved.
        starved: whether the stack limited the engines until the last call of `finished`.
    """

    def __init__(self, cores: Iterable[int], engines: int, stack_rate: float) -> None:
        self._lanes = {core: [_Lane(core, tuple(range(engines)))] for core in cores}
        self._stack_rate = stack_rate
        self._now = self._flow = self._demand = 0.0
        self._speed = 1.0
        self._ends: list[tuple[float, int, int, _Lane]] = []
        self._ticket = 0
        self._left: dict[int, int] = {}
        self._hunger: dict[int, float] = {}
        self.begins: dict[int, float] = {}
        self.starved = False

    def arrive(self, now: float, number: int, core: int, queue: str, transfer: Transfer) -> None:
        """Transfer `number` joins a queue of all engines it has work for."""
        self._advance(now)
        self._left[number] = transfer.busy
        self._hunger[number] = transfer.hbm_bytes / (transfer.total_ns or 1.0)
        for lane, work in self._parts(core, transfer):
            lane.serve(self._flow)
            if queue in lane.queues:
                lane.queues[queue].append((number, work))
            else:
                lane.queues[queue] = deque()
                self._begin(lane, number, work, queue)
                self._plan(lane)

    def finished(self, now: float) -> list[int]:
        """The transfers whose last byte has moved by `now`."""
        self._advance(now)
        self.starved = self._demand > self._stack_rate
        done: list[int] = []
        while self._ends and self._ends[0][0] <= self._flow + _NEAR:
            _, _, version, lane = heapq.heappop(self._ends)
            if version == lane.version:
                lane.serve(self._flow)
                while lane.heads and lane.heads[0][0] <= lane.served + _NEAR:
                    done += self._end_of_head(lane)
                self._plan(lane)
        return done

    def next_end(self) -> float:
        """When something finishes next, if nothing arrives before; infinite if nothing moves."""
        while self._ends and self._ends[0][2] != self._ends[0][3].version:
            heapq.heappop(self._ends)
        if not self._ends:
            return float("inf")
        return self._now + max(0.0, self._ends[0][0] - self._flow) / self._speed

    def _advance(self, now: float) -> None:
        if now > self._now:
            self._flow += (now - self._now) * self._speed
            self._now = now

    def _parts(self, core: int, transfer: Transfer) -> list[tuple[_Lane, float]]:
        """The lanes a transfer has work for; lanes whose engines get unequal work are split first."""
        if transfer.is_even:
            return [(lane, transfer.longest_ns) for lane in self._lanes[core]]
        parts = []
        for lane in list(self._lanes[core]):
            works = {transfer.engines[e] for e in lane.engines}
            for work in sorted(works)[1:]:
                apart = lane.split(tuple(e for e in lane.engines if transfer.engines[e] == work))
                self._lanes[core].append(apart)
                if apart.heads:
                    self._plan(apart, known=True)
                if work:
                    parts.append((apart, work))
            if least := min(works):
                parts.append((lane, least))
        return parts

    def _begin(self, lane: _Lane, number: int, work: float, queue: str) -> None:
        heapq.heappush(lane.heads, (lane.served + work, number, queue))
        self.begins.setdefault(number, self._now)

    def _end_of_head(self, lane: _Lane) -> list[int]:
        _, number, queue = heapq.heappop(lane.heads)
        if lane.queues[queue]:
            self._begin(lane, *lane.queues[queue].popleft(), queue)
        else:
            del lane.queues[queue]
        self._left[number] -= len(lane.engines)
        return [] if self._left[number] else [number]

    def _plan(self, lane: _Lane, known: bool = False) -> None:
        """Note when the lane's next transfer ends, and how much it wants of the HBM stack until then."""
        lane.version = self._ticket = self._ticket + 1
        if not known:
            self._demand -= lane.demand * len(lane.engines)
            lane.demand = sum([self._hunger[number] for _, number, _ in lane.heads]) / max(1, len(lane.heads))
            self._demand += lane.demand * len(lane.engines)
            self._speed = min(1.0, self._stack_rate / self._demand) if self._demand > 0 else 1.0
        if lane.heads:
            end = self._flow + (lane.heads[0][0] - lane.served) * len(lane.heads)
            heapq.heappush(self._ends, (end, self._ticket, lane.version, lane))
        else:
            self._join_idle(lane)

    def _join_idle(self, lane: _Lane) -> None:
        lanes = self._lanes[lane.core]
        for other in lanes:
            if other is not lane and not other.heads:
                other.engines += lane.engines
                lanes.remove(lane)
                return
