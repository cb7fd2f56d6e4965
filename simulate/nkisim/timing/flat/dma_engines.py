# SPDX-License-Identifier: Apache-2.0
"""The DMA engines of a launch: in order within a queue, shared fairly between queues, slowed by the HBM stack.

The documentation says that transfers of one queue run in order on an engine and that an engine serves its queues round
robin. Descriptors are small against transfers, so this is computed as a flow: n queues that have work each get 1/n of
an engine. Engines that have seen the same transfers since they were idle are computed together, as one lane. A core has
at most as many lanes as engines: their numbers are those of the engines of all cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from nkisim.timing.flat.records import NEVER, Core, Instruction, Queue, Rows, Times, WorkCost

Head = tuple[float, int, int]

_NEAR = 1e-6


@dataclass(slots=True)
class Flow:
    """The state of all engines together.

    Attributes:
        now: the time; flow: nanoseconds of work that an engine with one queue would have got.
        demand: for HBM, bytes/ns; `speed`: the share of full speed that HBM allows.
        due: when transfers may end, as far as the scheduler knows.
        ticket: how many plans were made.
        starved: whether the stack limited the engines until the last call of `finish`.
    """

    now: float
    flow: float
    demand: float
    speed: float
    due: float
    ticket: int
    starved: int


@dataclass(slots=True)
class Lane:
    """Equal engines of one core.

    Attributes:
        core: whose they are. member: one of its engines, counted in the core; `size`: how many it has, none if it is
            not there.
        served: nanoseconds of work each queue that always had work would have got; `at`: the flow when that was
            computed.
        demand: of each engine for HBM; `version`: the ticket of the plan for it.
    """

    core: int
    member: int
    size: int
    served: float
    at: float
    demand: float
    version: int


@dataclass(slots=True)
class Place:
    """A queue on a lane: whether it has work, and which of the queue's transfers is the first."""

    is_active: int
    position: int


class Dma(NamedTuple):
    """All DMA engines of a launch.

    Attributes:
        flow: one record.
        lanes: by number. lane_of: by core and engine. of_core: lanes of each core in the order in which they came, as
            many places as engines.
        places: by lane and queue.
        waiting: transfers that have come, from the place of the first task of their queue in the order on.
        engines: of each work the nanoseconds of each engine.
        stack: bytes/ns of the HBM stack that the engines share.
        heads: of each lane a heap of the first transfer of each queue that has work: when it is done (in `served`),
            its number and queue.
        ends: a heap of the flow when a lane's next transfer ends, the version of that plan, and the lane.
        parts: the lanes that a transfer has work for. over: the transfers that have ended, when `finish` returns.
    """

    tasks: list[Instruction]
    works: list[WorkCost]
    times: list[Times]
    queues: list[Queue]
    cores: list[Core]
    flow: list[Flow]
    lanes: list[Lane]
    lane_of: list[int]
    of_core: list[int]
    places: list[Place]
    waiting: list[int]
    engines: Rows
    stack: float
    heads: list[list[Head]]
    ends: list[Head]
    parts: list[int]
    over: list[int]


def no_heads(lanes: int) -> list[list[Head]]:
    """Empty heaps."""
    heads = [[(0.0, 0, 0)] for _ in range(lanes)]
    for each in heads:
        each.clear()
    return heads


def arrive(dma: Dma, now: float, number: int) -> None:
    """Transfer `number` joins a queue of all engines it has work for."""
    _advance(dma.flow[0], now)
    task = dma.tasks[number]
    queue = dma.queues[task.queue]
    dma.times[number].left = dma.works[task.work].engines_busy
    place = queue.first + queue.arrived
    dma.waiting[place] = number
    queue.arrived += 1
    _find_parts(dma, queue.core, task.work)
    for lane in dma.parts:
        _serve(dma, lane)
        at = dma.places[lane * len(dma.queues) + task.queue]
        if not at.is_active:
            at.is_active = 1
            _begin(dma, lane, place, task.queue)
            _plan(dma, lane, False)


def finish(dma: Dma, now: float) -> None:
    """Put the transfers whose last byte has moved by `now` into `over`."""
    flow, ends = dma.flow[0], dma.ends
    _advance(flow, now)
    flow.starved = flow.demand > dma.stack
    dma.over.clear()
    while ends and ends[0][0] <= flow.flow + _NEAR:
        _, version, number = heappop(ends)
        lane = dma.lanes[number]
        if version == lane.version:
            _serve(dma, number)
            heads = dma.heads[number]
            while heads and heads[0][0] <= lane.served + _NEAR:
                _end_of_head(dma, number)
            _plan(dma, number, False)


def next_end(dma: Dma) -> float:
    """When something finishes next, if nothing arrives before; infinite if nothing moves."""
    ends, flow = dma.ends, dma.flow[0]
    while ends and ends[0][1] != dma.lanes[ends[0][2]].version:
        heappop(ends)
    if not ends:
        return NEVER
    return flow.now + max(0.0, ends[0][0] - flow.flow) / flow.speed


def _advance(flow: Flow, now: float) -> None:
    if now > flow.now:
        flow.flow += (now - flow.now) * flow.speed
        flow.now = now


def _serve(dma: Dma, number: int) -> None:
    """Bring `served` up to date."""
    lane, count, flow = dma.lanes[number], len(dma.heads[number]), dma.flow[0].flow
    if count:
        lane.served += (flow - lane.at) / count
    lane.at = flow


def _find_parts(dma: Dma, core: int, work: int) -> None:
    """The lanes a transfer has work for; lanes whose engines get unequal work are split first."""
    row, is_even, parts = dma.engines[work], dma.works[work].is_even, dma.parts
    first = core * len(row)
    parts.clear()
    for lane in dma.of_core[first : first + dma.cores[core].lanes]:
        if not is_even:
            _split_off_more(dma, lane, work)
        if row[dma.lanes[lane].member]:
            parts.append(lane)


def _split_off_more(dma: Dma, number: int, work: int) -> None:
    """Those of its engines that get more than the least leave the lane, into one for each amount; these are parts."""
    lane, row = dma.lanes[number], dma.engines[work]
    first, least = lane.core * len(row), NEVER
    for engine in range(len(row)):
        if dma.lane_of[first + engine] == number:
            least = min(least, row[engine])
    while True:
        more = NEVER
        for engine in range(len(row)):
            if dma.lane_of[first + engine] == number and row[engine] > least:
                more = min(more, row[engine])
        if more == NEVER:
            return
        apart = _split(dma, number, first)
        new = dma.lanes[apart]
        for engine in range(len(row)):
            if dma.lane_of[first + engine] == number:
                if row[engine] == more:
                    dma.lane_of[first + engine], new.member = apart, engine
                    new.size += 1
                    lane.size -= 1
                elif row[engine] == least:
                    lane.member = engine
        if dma.heads[apart]:
            _plan(dma, apart, True)
        dma.parts.append(apart)


def _split(dma: Dma, number: int, first: int) -> int:
    """A new lane of the core whose engines begin at `first`, in the same state; it has no engines yet."""
    apart, count = first, len(dma.queues)
    while dma.lanes[apart].size:
        apart += 1
    old, new = dma.lanes[number], dma.lanes[apart]
    core = dma.cores[old.core]
    dma.of_core[first + core.lanes] = apart
    core.lanes += 1
    new.served, new.at, new.demand, new.version = old.served, old.at, old.demand, 0
    heads = dma.heads[apart]
    heads.clear()
    for head in dma.heads[number]:
        heads.append(head)
    for queue in range(count):
        source, target = dma.places[number * count + queue], dma.places[apart * count + queue]
        target.is_active, target.position = source.is_active, source.position
    return apart


def _begin(dma: Dma, lane: int, place: int, queue: int) -> None:
    """The lane begins with the transfer at this place of `waiting`."""
    number = dma.waiting[place]
    work = dma.engines[dma.tasks[number].work][dma.lanes[lane].member]
    dma.places[lane * len(dma.queues) + queue].position = place
    heappush(dma.heads[lane], (dma.lanes[lane].served + work, number, queue))
    if dma.times[number].begin < 0.0:
        dma.times[number].begin = dma.flow[0].now


def _end_of_head(dma: Dma, lane: int) -> None:
    """The first transfer of the lane ends; the next one of its queue that the lane has work for begins."""
    _, number, queue = heappop(dma.heads[lane])
    at, member = dma.places[lane * len(dma.queues) + queue], dma.lanes[lane].member
    place, stop = at.position + 1, dma.queues[queue].first + dma.queues[queue].arrived
    while place < stop and not dma.engines[dma.tasks[dma.waiting[place]].work][member]:
        place += 1
    if place < stop:
        _begin(dma, lane, place, queue)
    else:
        at.is_active = 0
    ended = dma.times[number]
    ended.left -= dma.lanes[lane].size
    if not ended.left:
        dma.over.append(number)


def _plan(dma: Dma, number: int, known: bool) -> None:
    """Note when the lane's next transfer ends, and how much it wants of the HBM stack until then, unless `known`."""
    lane, heads, flow = dma.lanes[number], dma.heads[number], dma.flow[0]
    flow.ticket += 1
    lane.version = flow.ticket
    if not known:
        flow.demand -= lane.demand * lane.size
        total = 0.0
        for head in heads:
            total += dma.works[dma.tasks[head[1]].work].hunger
        lane.demand = total / max(1, len(heads))
        flow.demand += lane.demand * lane.size
        flow.speed = min(1.0, dma.stack / flow.demand) if flow.demand > 0 else 1.0
    if heads:
        end = flow.flow + (heads[0][0] - lane.served) * len(heads)
        heappush(dma.ends, (end, lane.version, number))
    else:
        _join_idle(dma, number)


def _join_idle(dma: Dma, number: int) -> None:
    """An idle lane becomes one with the first other idle one of its core."""
    lane = dma.lanes[number]
    core, engines = dma.cores[lane.core], len(dma.engines[0])
    first = lane.core * engines
    for place in range(first, first + core.lanes):
        other = dma.of_core[place]
        if other != number and not dma.heads[other]:
            for engine in range(first, first + engines):
                if dma.lane_of[engine] == number:
                    dma.lane_of[engine] = other
            dma.lanes[other].size += lane.size
            lane.size = 0
            _remove(dma.of_core, first, first + core.lanes, number)
            core.lanes -= 1
            return


def _remove(values: list[int], first: int, stop: int, value: int) -> None:
    """Take `value` out of that range; those behind it move up."""
    place = first
    while values[place] != value:
        place += 1
    for behind in range(place, stop - 1):
        values[behind] = values[behind + 1]
