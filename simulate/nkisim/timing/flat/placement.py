# SPDX-License-Identifier: Apache-2.0
"""In which order a compiler places tasks: see `nkisim.timing.compiler_order`."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from nkisim.timing.flat.records import NEVER, Core, Epoch, Instruction, Rates, WorkCost
from nkisim.timing.flat.waits import BY_ISSUE, KIND, SHIFT

Heap = list[tuple[float, int]]


@dataclass(slots=True)
class Unplaced:
    """The tasks of a queue that are not placed yet.

    Attributes:
        first, stop: of its tasks, in the list of the program's order.
        by_path: whether the longest path goes first; otherwise what could start first.
        look_ahead: how many are looked at.
        following: the first one that is not looked at; `looked_at`: how many are.
        placed: how many are placed.
        free: when the engine has started all that is placed.
        first_ordered, last_ordered: of the tasks inside `no_reorder` that are looked at, in program order.
        wake: when the queue is looked at next.
        table: the function table that the engine holds then.
    """

    core: int
    first: int
    stop: int
    by_path: int
    look_ahead: int
    following: int
    looked_at: int
    placed: int
    free: float
    first_ordered: int
    last_ordered: int
    wake: float
    table: int


@dataclass(slots=True)
class ToPlace:
    """A task.

    Attributes:
        pending: how many tasks it waits for are not placed; `can_start`: when the others let it.
        is_open, is_placed, is_held: whether it is looked at, placed, held back by `no_reorder`.
        partner: the other one of its meeting, when both could be placed.
        path: nanoseconds to the end of the longest chain behind it, in its epoch.
        next_ordered: the next of its queue inside `no_reorder` that is looked at.
    """

    pending: int
    can_start: float
    is_open: int
    is_placed: int
    is_held: int
    partner: int
    path: float
    next_ordered: int


@dataclass(slots=True)
class CoreLoad:
    """When the DMA engines of a core are free, and when all that is placed on the core is done."""

    dma_free: float
    done_by: float


class Laid(NamedTuple):
    """What is read.

    Attributes:
        tasks, followers: who waits for each is in `followers`, as `follow` gives them.
        numbers: tasks in program order, queue after queue; of two queues that could be looked at at once, the first is.
        hbm_rate: bytes/ns of HBM for a core.
    """

    tasks: list[Instruction]
    followers: list[int]
    numbers: list[int]
    works: list[WorkCost]
    rates: Rates
    hbm_rate: float


class PlacementState(NamedTuple):
    """What changes.

    Attributes:
        come: by meeting, the task that came first.
        order: the result, laid out as the program's order.
    """

    of_tasks: list[ToPlace]
    queues: list[Unplaced]
    cores: list[Core]
    loads: list[CoreLoad]
    epochs: list[Epoch]
    come: list[int]
    order: list[int]


class _Placement(NamedTuple):
    """Both, and

    Attributes:
        coming, ready: of each queue, heaps of (when it can start, number), and of (rank, number) of those that could
            start by now.
        heap: of (when to look, queue).
    """

    tasks: list[Instruction]
    followers: list[int]
    numbers: list[int]
    works: list[WorkCost]
    rates: Rates
    hbm_rate: float
    of_tasks: list[ToPlace]
    queues: list[Unplaced]
    cores: list[Core]
    loads: list[CoreLoad]
    epochs: list[Epoch]
    come: list[int]
    order: list[int]
    coming: list[Heap]
    ready: list[Heap]
    heap: Heap


def place(laid: Laid, state: PlacementState) -> None:
    """Fill in `state.order`."""
    count, heap = len(state.queues), [(0.0, 0)]
    heap.clear()
    r = _Placement(
        laid.tasks, laid.followers, laid.numbers, laid.works, laid.rates, laid.hbm_rate,
        state.of_tasks, state.queues, state.cores, state.loads, state.epochs, state.come, state.order, _heaps(count),
        _heaps(count), heap,
    )  # fmt: skip
    _find_paths(r)
    for core in range(len(state.cores)):
        _open(r, core)
    while heap:
        now, queue = heappop(heap)
        if now == state.queues[queue].wake:
            state.queues[queue].wake = NEVER
            _look(r, queue, now)


def _heaps(count: int) -> list[Heap]:
    heaps = [[(0.0, 0)] for _ in range(count)]
    for each in heaps:
        each.clear()
    return heaps


def _find_paths(r: _Placement) -> None:
    """Fill in `path`."""
    of_tasks, works, rates, partner = r.of_tasks, r.works, r.rates, r.come
    for number in range(len(of_tasks) - 1, -1, -1):
        task = r.tasks[number]
        work, longest = works[task.work], 0.0
        for entry in r.followers[task.first : task.stop]:
            behind = of_tasks[entry >> SHIFT].path
            if behind > longest:
                longest = behind
        if work.is_transfer:
            own = work.issue + work.start + work.longest + work.complete + rates.wake
        else:
            own = work.latency + rates.semaphore
        path = own + longest
        if task.meeting >= 0:
            other = partner[task.meeting]
            if other < 0:
                partner[task.meeting] = number
            else:
                path = max(path, of_tasks[other].path)
        of_tasks[number].path = path
    for each in range(len(partner)):
        partner[each] = -1


def _open(r: _Placement, number: int) -> None:
    """The first epoch of the core that has tasks begins when all before is done."""
    core, done_by = r.cores[number], r.loads[number].done_by
    while not r.epochs[core.first + core.epoch].left and core.first + core.epoch < core.last:
        core.epoch += 1
    for place in range(len(r.queues)):
        queue = r.queues[place]
        if queue.core == number:
            queue.free = max(queue.free, done_by)
            while queue.looked_at < queue.look_ahead and _admit(r, place):
                pass


def _admit(r: _Placement, place: int) -> bool:
    """Look at one more task, if the epoch has one."""
    queue = r.queues[place]
    if queue.following == queue.stop:
        return False
    number = r.numbers[queue.following]
    task, own = r.tasks[number], r.of_tasks[number]
    if task.epoch != r.cores[queue.core].epoch:
        return False
    queue.following += 1
    queue.looked_at += 1
    own.is_open = 1
    if task.ordered:
        if queue.first_ordered < 0:
            queue.first_ordered = number
        else:
            r.of_tasks[queue.last_ordered].next_ordered = number
        queue.last_ordered = number
    if not own.pending:
        _offer(r, number)
    return True


def _offer(r: _Placement, number: int) -> None:
    """A task that is looked at has all its operands placed: it may be next, unless something else holds it."""
    task, own = r.tasks[number], r.of_tasks[number]
    if task.ordered and r.queues[task.queue].first_ordered != number:
        own.is_held = 1
        return
    if task.meeting >= 0:
        partner = r.come[task.meeting]
        if partner < 0:
            r.come[task.meeting] = number
            return
        r.come[task.meeting] = -1
        other = r.of_tasks[partner]
        own.partner, other.partner = partner, number
        own.can_start = other.can_start = max(own.can_start, other.can_start)
        _push(r, partner)
    _push(r, number)


def _push(r: _Placement, number: int) -> None:
    at, place = r.of_tasks[number].can_start, r.tasks[number].queue
    heappush(r.coming[place], (at, number))
    _wake(r, place, max(at, r.queues[place].free))


def _wake(r: _Placement, place: int, at: float) -> None:
    if at < r.queues[place].wake:
        r.queues[place].wake = at
        heappush(r.heap, (at, place))


def _look(r: _Placement, place: int, now: float) -> None:
    """Place what goes next, if something could start by now, and say when to look again."""
    queue, coming, ready, of_tasks = r.queues[place], r.coming[place], r.ready[place], r.of_tasks
    if queue.free <= now:
        while coming and coming[0][0] <= now:
            at, number = heappop(coming)
            if not of_tasks[number].is_placed:
                heappush(ready, (-of_tasks[number].path if queue.by_path else at, number))
        while ready:
            number = _take(r, place)
            if not of_tasks[number].is_placed:
                _place(r, number, now)
                if of_tasks[number].partner >= 0:
                    _place(r, of_tasks[number].partner, now)
                break
    if ready:
        _wake(r, place, max(now, queue.free))
    elif coming:
        _wake(r, place, max(coming[0][0], queue.free))


def _take(r: _Placement, place: int) -> int:
    """The first in rank; but a function of the table at hand before one whose path is hardly longer."""
    ready, held = r.ready[place], r.queues[place].table
    if held >= 0 and len(ready) > 1:
        rank, number = ready[0]
        if _table(r, number) >= 0 and _table(r, number) != held:
            best = -1
            for entry in range(len(ready)):
                table = _table(r, ready[entry][1])
                if (table == held or table < 0) and (best < 0 or ready[entry] < ready[best]):
                    best = entry
            if best >= 0 and ready[best][0] < rank + 2 * r.rates.table_load:
                number = ready[best][1]
                ready.pop(best)
                heapify(ready)
                return number
    return heappop(ready)[1]


def _table(r: _Placement, number: int) -> int:
    return r.works[r.tasks[number].work].table


def _place(r: _Placement, number: int, now: float) -> None:
    task, own = r.tasks[number], r.of_tasks[number]
    work, queue, load = r.works[task.work], r.queues[task.queue], r.loads[task.core]
    own.is_placed = 1
    r.order[queue.first + queue.placed] = number
    queue.placed += 1
    queue.looked_at -= 1
    start = now if now > queue.free else queue.free
    if work.is_transfer:
        end = start + work.issue
        done = _moved(r, load, end + work.start, work)
    else:
        if work.table >= 0 and work.table != queue.table:
            queue.table, start = work.table, start + r.rates.table_load
        end = start + work.busy
        done = start + work.latency
    queue.free = end
    if done > load.done_by:
        load.done_by = done
    _release(r, task, end, done)
    if task.ordered:
        _next_ordered(r, queue)
    _admit(r, task.queue)
    epoch = r.epochs[r.cores[task.core].first + task.epoch]
    epoch.left -= 1
    if not epoch.left:
        _open(r, task.core)


def _moved(r: _Placement, load: CoreLoad, arrives: float, work: WorkCost) -> float:
    """When a transfer is complete, if all of a core go one after another through all engines together."""
    begin = max(arrives, load.dma_free)
    load.dma_free = begin + max(work.total / r.rates.engines, work.moved / r.hbm_rate)
    return max(begin + work.longest, load.dma_free) + work.complete


def _next_ordered(r: _Placement, queue: Unplaced) -> None:
    number = r.of_tasks[queue.first_ordered].next_ordered
    queue.first_ordered = number
    if number >= 0 and r.of_tasks[number].is_held:
        r.of_tasks[number].is_held = 0
        _offer(r, number)


def _release(r: _Placement, task: Instruction, end: float, done: float) -> None:
    """Those that wait for the task wait for one less."""
    of_tasks, seen_after = r.of_tasks, r.rates.wake if task.on_dma else r.rates.semaphore
    result, left = done + seen_after, end + seen_after
    for entry in r.followers[task.first : task.stop]:
        kind, other = entry & KIND, of_tasks[entry >> SHIFT]
        when = result if not kind else left if kind == BY_ISSUE else end
        if when > other.can_start:
            other.can_start = when
        other.pending -= 1
        if not other.pending and other.is_open:
            _offer(r, entry >> SHIFT)
