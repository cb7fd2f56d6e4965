# SPDX-License-Identifier: Apache-2.0
"""When each task runs: see `nkisim.timing.schedule`.

When an instruction of an engine runs follows from what it waits for and from the one before it. So the queues of
engines run ahead, each until it waits for something that is not known yet. Triggers of transfers that may be held or
overtaken, meetings, and all that happens at the DMA engines, which share the HBM stack, are taken in the order of time.
The work is linear in tasks and dependencies, but for a heap of those.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

from nkisim.timing.flat.dma_engines import Dma, Flow, Lane, Place, arrive, finish, next_end, no_heads
from nkisim.timing.flat.pe import multiply
from nkisim.timing.flat.records import (
    DMA,
    DRAIN,
    HBM,
    MEETING,
    NEVER,
    QUEUE,
    Core,
    Epoch,
    Instruction,
    Meet,
    Queue,
    Rates,
    Rows,
    Times,
    WorkCost,
)  # fmt: skip

# What the heap holds beside numbers of tasks that can start: transfers may end, and transfer -2 - n arrives.
_MOVED, _ARRIVES = -1, -2

_ALONE, APART, _MET = 0, 1, 2
"""What `Times.meets` says: no meeting, or nothing to wait for; one that is to come; who came first, both are there."""


class Given(NamedTuple):
    """What a schedule reads.

    Attributes:
        tasks, waits: what each waits for is in `waits`, numbers of tasks * 2 + AFTER_RESULT or AFTER_ISSUE.
        numbers: tasks, queue after queue.
        engines: of each work the nanoseconds of each DMA engine.
    """

    tasks: list[Instruction]
    waits: list[int]
    numbers: list[int]
    works: list[WorkCost]
    engines: Rows
    rates: Rates


class ScheduleState(NamedTuple):
    """What it changes: see `_Run` and `Dma`."""

    times: list[Times]
    seen: list[float]
    queues: list[Queue]
    cells: list[list[float]]
    cores: list[Core]
    epochs: list[Epoch]
    meetings: list[Meet]
    flow: list[Flow]
    lanes: list[Lane]
    lane_of: list[int]
    of_core: list[int]
    places: list[Place]
    waiting: list[int]


class _Run(NamedTuple):
    """A schedule, but for the DMA engines.

    Attributes:
        seen: when others see the result of task n, at 2 n, and that it has left its engine, at 2 n + 1.
        cells: of each queue, when the quarters of its PE are free.
        heap: of what is taken in the order of time. known: tasks that need not wait any more to know when they start.
    """

    tasks: list[Instruction]
    waits: list[int]
    numbers: list[int]
    works: list[WorkCost]
    rates: Rates
    times: list[Times]
    seen: list[float]
    queues: list[Queue]
    cells: list[list[float]]
    cores: list[Core]
    epochs: list[Epoch]
    meetings: list[Meet]
    heap: list[tuple[float, int]]
    known: list[int]


def run(given: Given, state: ScheduleState) -> int:
    """Fill in `state.times`; how many tasks wait for each other and never start."""
    heap, known, ends, parts, over = [(0.0, 0)], [0], [(0.0, 0, 0)], [0], [0]
    heap.clear()
    known.clear()
    ends.clear()
    dma = Dma(
        given.tasks, given.works, state.times, state.queues, state.cores, state.flow, state.lanes, state.lane_of,
        state.of_core, state.places, state.waiting, given.engines, given.rates.stack, no_heads(len(state.lanes)), ends,
        parts, over,
    )  # fmt: skip
    r = _Run(
        given.tasks, given.waits, given.numbers, given.works, given.rates, state.times, state.seen, state.queues,
        state.cells, state.cores, state.epochs, state.meetings, heap, known,
    )  # fmt: skip
    for core in range(len(state.cores)):
        _open(r, core)
    while heap or known:
        if known:
            _offer(r, known.pop())
            continue
        at, number = heappop(heap)
        if number >= 0:
            _start(r, number, at)
        else:
            _move(r, dma, number, at)
    left = 0
    for epoch in state.epochs:
        left += epoch.left
    return left


def _open(r: _Run, number: int) -> None:
    """The core's next epoch that has instructions begins, when all that was done before is done and drained."""
    at, core = 0.0, r.cores[number]
    epoch = core.epoch
    if core.latest >= 0:
        at = r.times[core.latest].done
    while not r.epochs[core.first + epoch].left and core.first + epoch < core.last:
        at += r.epochs[core.first + epoch].drain
        epoch += 1
    core.epoch = epoch
    for queue in r.queues:
        if queue.core == number:
            if epoch:
                queue.free, queue.last, queue.reason = at, core.latest, DRAIN
            limit = queue.limit
            while limit < queue.stop and r.tasks[r.numbers[limit]].epoch == epoch:
                limit += 1
            queue.limit = limit
            _admit(r, queue)


def _admit(r: _Run, queue: Queue) -> None:
    """Those that wait from now on are known, as far as the window and the epoch go; of a queue whose instructions start
    one by one it is the next.
    """
    first, left = queue.following, queue.limit - queue.following
    if queue.runs_ahead:
        if left > 0:
            r.known.append(r.numbers[first])
        return
    count = min(queue.window - queue.waiting, left)
    queue.following += count
    queue.waiting += count
    for place in range(first, first + count):
        r.known.append(r.numbers[place])


def _offer(r: _Run, number: int) -> None:
    """What the task waits for, the next of its queue or one that may start out of order, may be known."""
    task = r.tasks[number]
    queue = r.queues[task.queue]
    if queue.runs_ahead:
        _go_on(r, queue, task.queue)
        return
    ready, cause = 0.0, -1
    for waited in r.waits[task.first : task.stop]:
        at = r.seen[waited]
        if at > ready:
            ready, cause = at, waited >> 1
    if ready == NEVER:
        _block(r.times, number, cause)
        return
    time = r.times[number]
    time.ready, time.because = ready, cause
    heappush(r.heap, (max(ready, queue.free), number))


def _go_on(r: _Run, queue: Queue, place: int) -> None:
    """Start the tasks of a queue one after another, until one waits for what is not known yet.

    Most of the time of a schedule is spent here.

    Args:
        place: number of the queue.
    """
    tasks, waits, numbers, works, times, seen, rates = r.tasks, r.waits, r.numbers, r.works, r.times, r.seen, r.rates
    began, limit, seen_after, is_pe = queue.following, queue.limit, queue.seen_after, queue.is_pe
    following, free, last, why, ended = began, queue.free, queue.last, queue.reason, 0
    cells = r.cells[place]
    while following < limit:
        number = numbers[following]
        task, time = tasks[number], times[number]
        ready, cause = 0.0, -1
        for waited in waits[task.first : task.stop]:
            at = seen[waited]
            if at > ready:
                ready, cause = at, waited
        if ready == NEVER:
            _block(times, number, cause >> 1)
            break
        if time.meets == APART:
            heappush(r.heap, (max(ready, free), number))
            break
        following += 1
        if free >= ready and last >= 0:
            time.because, time.reason, at = last, why, free
        else:
            time.because, at = cause >> 1, free if free > ready else ready
        if time.meets == _MET:
            at = _meet(r, number)
        last, why, time.issue, work = number, QUEUE, at, works[task.work]
        if work.is_transfer:
            free = _trigger(r, number, at)
            continue
        if is_pe:
            begin, end, done = multiply(queue, cells, at, ready, work, rates)
            free = begin
        else:
            if work.table >= 0 and work.table != queue.table:
                queue.table, at = work.table, at + rates.table_load
            begin, end, done = at, at + work.busy, at + work.latency
            if done < end:
                done = end
            free = end
        time.begin, time.end, time.done = begin, end, done
        seen[2 * number], seen[2 * number + 1] = done + seen_after, end + seen_after
        if time.blocked >= 0:
            _unblock(r, time)
        ended += 1
    queue.following, queue.free, queue.last, queue.reason = following, free, last, why
    if ended:
        _find_latest(r, queue.core, began, following)
        _finish(r, queue.core, ended)


def _block(times: list[Times], number: int, cause: int) -> None:
    """The task waits to know when `cause` is done."""
    times[cause].blocked = _joined(times, times[cause].blocked, number)


def _joined(times: list[Times], last: int, number: int) -> int:
    """The last of a ring, with the task behind it."""
    if last < 0:
        times[number].next = number
    else:
        times[number].next = times[last].next
        times[last].next = number
    return number


def _unblock(r: _Run, time: Times) -> None:
    """Those blocked by the task need not wait to know any more."""
    last, time.blocked = time.blocked, -1
    each = r.times[last].next
    r.known.append(each)
    while each != last:
        each = r.times[each].next
        r.known.append(each)


def _meet(r: _Run, number: int) -> float:
    """When the task that came first to a meeting starts."""
    time, meeting = r.times[number], r.meetings[r.tasks[number].meeting]
    time.meets, time.because, time.reason = _ALONE, meeting.second, MEETING
    return meeting.second_at


def _start(r: _Run, number: int, at: float) -> None:
    """A trigger or a meeting, whose turn it is in the order of time: start it, if nothing holds it."""
    task = r.tasks[number]
    queue = r.queues[task.queue]
    if queue.free > at:
        heappush(r.heap, (queue.free, number))
    elif queue.under_way >= queue.depth:
        queue.held = _joined(r.times, queue.held, number)
    elif r.times[number].meets != APART:
        _start_trigger(r, number, at)
    else:
        meeting = r.meetings[task.meeting]
        if meeting.first < 0:
            meeting.first, meeting.first_at = number, at
            return
        first, meeting.first, meeting.second, meeting.second_at = meeting.first, -1, number, at
        r.times[first].meets, r.times[number].meets = _MET, _ALONE
        for each in (first, number):
            if r.queues[r.tasks[each].queue].runs_ahead:
                r.known.append(each)
            else:
                _start_trigger(r, each, at)


def _start_trigger(r: _Run, number: int, at: float) -> None:
    """The trigger of a transfer whose queue does not run ahead."""
    time, task = r.times[number], r.tasks[number]
    queue = r.queues[task.queue]
    if time.meets == _MET:
        at = _meet(r, number)
    elif queue.last >= 0 and queue.free >= time.ready:
        time.because, time.reason = queue.last, queue.reason
    at = max(at, queue.free)
    time.issue, queue.last, queue.reason = at, number, QUEUE
    queue.free = _trigger(r, number, at)
    queue.under_way += r.works[task.work].descriptors
    queue.waiting -= 1
    _admit(r, queue)


def _trigger(r: _Run, number: int, at: float) -> float:
    """A transfer is triggered at `at`, and arrives at the DMA engines later; when its queue is free again."""
    work = r.works[r.tasks[number].work]
    free = at + work.issue
    heappush(r.heap, (free + work.start, _ARRIVES - number))
    return free


def _move(r: _Run, dma: Dma, event: int, now: float) -> None:
    """A transfer joins its queues at the DMA engines, or some may have moved their last bytes."""
    flow = dma.flow[0]
    if event == _MOVED:
        if now != flow.due:
            return
        flow.due = NEVER
    else:
        number = _ARRIVES - event
        if r.works[r.tasks[number].work].longest:
            arrive(dma, now, number)
        else:
            r.times[number].begin = now
            _arrived(r, number, now, flow.starved)
    finish(dma, now)
    for number in dma.over:
        _arrived(r, number, now, flow.starved)
    due = next_end(dma)
    if due < flow.due:
        flow.due = due
        heappush(r.heap, (due, _MOVED))


def _arrived(r: _Run, number: int, end: float, starved: int) -> None:
    """The last byte of a transfer has moved."""
    time, task = r.times[number], r.tasks[number]
    queue, work, wake = r.queues[task.queue], r.works[task.work], r.rates.wake
    time.end = end
    time.done = done = end + work.complete
    if end - time.issue > work.issue + work.start + 1.01 * work.longest:
        time.reason = HBM if starved else DMA
    if not queue.runs_ahead:
        queue.under_way -= work.descriptors
    if queue.held >= 0 and queue.under_way < queue.depth:
        queue.free, queue.last, queue.reason = end, number, DMA
        last, queue.held = queue.held, -1
        each = r.times[last].next
        heappush(r.heap, (end, each))
        while each != last:
            each = r.times[each].next
            heappush(r.heap, (end, each))
    r.seen[2 * number], r.seen[2 * number + 1] = done + wake, end + wake
    if time.blocked >= 0:
        _unblock(r, time)
    core = r.cores[queue.core]
    if core.latest < 0 or done >= r.times[core.latest].done:
        core.latest = number
    _finish(r, queue.core, 1)


def _find_latest(r: _Run, core: int, began: int, following: int) -> None:
    """Which task of the core was done last, now that it is known when the instructions of a stretch of a queue are."""
    of = r.cores[core]
    if of.first == of.last:
        return
    latest = of.latest
    done = r.times[latest].done if latest >= 0 else 0.0
    for number in r.numbers[began:following]:
        if not r.works[r.tasks[number].work].is_transfer and (latest < 0 or r.times[number].done >= done):
            latest, done = number, r.times[number].done
    of.latest = latest


def _finish(r: _Run, core: int, count: int) -> None:
    """So many tasks of one epoch are done; with the last ones the core drains."""
    of = r.cores[core]
    epoch = r.epochs[of.first + of.epoch]
    epoch.left -= count
    if of.first < of.last and not epoch.left:
        _open(r, core)
