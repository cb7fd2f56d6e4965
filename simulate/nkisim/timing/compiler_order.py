# SPDX-License-Identifier: Apache-2.0
"""The order in which a compiler lays the instructions of a program on their streams: a static list schedule.

The documentation of NKI says that the compiler is free to reorder independent operations; what holds them is data
(bytes, addresses included), `depends_on`, `no_reorder`, barriers, and the ends of device-loop iterations. It works
before anything runs, from estimates: it does not know when transfers really arrive. The engines then run their streams
in order.

A stream looks at the first `look_ahead` of its instructions that are not placed yet. Compute engines take the one with
the longest path of dependents behind it; triggers of transfers go in the order in which they can start, because a queue
of transfers runs in order and a long path says nothing about what it would hold up. Transfers with static descriptors
keep the order of the program: where loads of weights may pass a small load that waits for something, decode kernels of
nki-library come out a tenth too slow.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

from nkisim.machine import Machine
from nkisim.timing.costs import Cost, Transfer
from nkisim.timing.program import Program
from nkisim.timing.task import Followers, Stream, Task

_BY_PATH = ("tensor", "vector", "scalar")
_STATIC = "dma"  # the queue of static descriptors
_NEVER = float("inf")


def compiler_order(program: Program, machine: Machine, look_ahead: int) -> dict[Stream, list[int]]:
    """Numbers of tasks by stream, in the order in which a compiler would place them.

    The orders of all streams and all dependencies together are free of circles: they are parts of one order.

    Args:
        look_ahead: how many instructions of a stream are looked at; 1 keeps program order.
    """
    return _Placement(program, machine, look_ahead).run()


@dataclass(eq=False, slots=True)
class _Unplaced:
    """The tasks of one stream that are not placed yet.

    Attributes:
        by_path: the longest path goes first; otherwise what could start first.
        following: index in `tasks` of the first one that is not looked at; `looked_at`: how many are.
        free: when the engine has started all that is placed.
        coming, ready: heaps of (when it can start, number), and of (rank, number) of those that could start by now.
        ordered: tasks inside `no_reorder` that are looked at, in program order; `held`: those that others hold back.
        wake: when the queue is looked at next.
        table: the function table that the engine holds then.
    """

    stream: Stream
    by_path: bool
    tasks: list[int]
    look_ahead: int
    following: int = 0
    looked_at: int = 0
    free: float = 0.0
    coming: list[tuple[float, int]] = field(default_factory=list)
    ready: list[tuple[float, int]] = field(default_factory=list)
    ordered: list[int] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    wake: float = _NEVER
    table: str | None = None


class _Placement:
    def __init__(self, program: Program, machine: Machine, look_ahead: int) -> None:
        self.tasks, self.costs, self.look_ahead = program.tasks, program.works.costs(machine), look_ahead
        tasks, number, count = self.tasks, machine.number, len(program.tasks)
        self.semaphore, self.wake_up = number("sync.semaphore"), number("dma.to_engine")
        self.table_load, self.engines = number("act_time.table_load"), machine["dma.engines"]
        cores = sorted({task.core for task in tasks})
        self.hbm_rate = number("hbm.stack_rate") / max(1, len(cores))
        self.dma_free = dict.fromkeys(cores, 0.0)
        self.pending = [len(task.after) for task in tasks]
        self.can_start = [0.0] * count
        self.is_open, self.is_placed = bytearray(count), bytearray(count)
        self.followers = program.followers
        self.path = _paths(tasks, self.costs, self.followers, self.semaphore, self.wake_up)
        self.queues = {
            stream: _Unplaced(stream, stream[1] in _BY_PATH, numbers, 1 if stream[1] == _STATIC else look_ahead)
            for stream, numbers in program.order.items()
        }
        self.queue_of = [self.queues[task.core, task.queue] for task in tasks]
        self.left = Counter((task.core, task.epoch) for task in tasks)
        self.last_epoch = {core: max(epoch for of, epoch in self.left if of == core) for core in cores}
        self.epoch, self.done_by = dict.fromkeys(cores, 0), dict.fromkeys(cores, 0.0)
        self.come: dict[int, int] = {}
        self.partner: dict[int, int] = {}
        self.order: dict[Stream, list[int]] = {stream: [] for stream in self.queues}
        self.heap: list[tuple[float, Stream]] = []

    def run(self) -> dict[Stream, list[int]]:
        """Place all tasks."""
        for core in self.epoch:
            self._open(core)
        heap = self.heap
        while heap:
            now, stream = heapq.heappop(heap)
            queue = self.queues[stream]
            if now == queue.wake:
                queue.wake = _NEVER
                self._look(queue, now)
        return self.order

    def _open(self, core: int) -> None:
        """The first epoch of the core that has tasks begins when all before is done."""
        while not self.left[core, self.epoch[core]] and self.epoch[core] < self.last_epoch[core]:
            self.epoch[core] += 1
        for stream, queue in self.queues.items():
            if stream[0] == core:
                queue.free = max(queue.free, self.done_by[core])
                while queue.looked_at < queue.look_ahead and self._admit(queue):
                    pass

    def _admit(self, queue: _Unplaced) -> bool:
        """Look at one more task, if the epoch has one."""
        if queue.following == len(queue.tasks):
            return False
        task = self.tasks[queue.tasks[queue.following]]
        if task.epoch != self.epoch[task.core]:
            return False
        queue.following += 1
        queue.looked_at += 1
        self.is_open[task.number] = 1
        if task.ordered:
            queue.ordered.append(task.number)
        if not self.pending[task.number]:
            self._offer(queue, task)
        return True

    def _offer(self, queue: _Unplaced, task: Task) -> None:
        """A task that is looked at has all its operands placed: it may be next, unless something else holds it."""
        number = task.number
        if task.ordered and queue.ordered[0] != number:
            queue.held.add(number)
            return
        if task.meeting >= 0:
            other = self.come.pop(task.meeting, None)
            if other is None:
                self.come[task.meeting] = number
                return
            self.partner[number], self.partner[other] = other, number
            self.can_start[number] = self.can_start[other] = max(self.can_start[number], self.can_start[other])
            self._push(self.queue_of[other], other)
        self._push(queue, number)

    def _push(self, queue: _Unplaced, number: int) -> None:
        at, free = self.can_start[number], queue.free
        heapq.heappush(queue.coming, (at, number))
        self._wake(queue, at if at > free else free)

    def _wake(self, queue: _Unplaced, at: float) -> None:
        if at < queue.wake:
            queue.wake = at
            heapq.heappush(self.heap, (at, queue.stream))

    def _look(self, queue: _Unplaced, now: float) -> None:
        """Place what goes next, if something could start by now, and say when to look again."""
        if queue.free <= now:
            coming, ready = queue.coming, queue.ready
            while coming and coming[0][0] <= now:
                at, number = heapq.heappop(coming)
                if not self.is_placed[number]:
                    heapq.heappush(ready, (-self.path[number] if queue.by_path else at, number))
            while ready:
                number = self._take(queue)
                if not self.is_placed[number]:
                    self._place(number, now)
                    if number in self.partner:
                        self._place(self.partner[number], now)
                    break
        if queue.ready:
            self._wake(queue, max(now, queue.free))
        elif queue.coming:
            self._wake(queue, max(queue.coming[0][0], queue.free))

    def _take(self, queue: _Unplaced) -> int:
        """The first in rank; but a function of the table at hand before one whose path is hardly longer."""
        ready = queue.ready
        if queue.table is not None and len(ready) > 1:
            rank, number = ready[0]
            if self._table(number) not in (None, queue.table):
                same = [entry for entry in ready if self._table(entry[1]) in (None, queue.table)]
                best = min(same, default=None)
                if best is not None and best[0] < rank + 2 * self.table_load:
                    ready.remove(best)
                    heapq.heapify(ready)
                    return best[1]
        return heapq.heappop(ready)[1]

    def _table(self, number: int) -> str | None:
        cost = self.costs[self.tasks[number].work]
        return cost.table if isinstance(cost, Cost) else None

    def _place(self, number: int, now: float) -> None:
        task, queue = self.tasks[number], self.queue_of[number]
        cost = self.costs[task.work]
        self.is_placed[number] = 1
        self.order[queue.stream].append(number)
        queue.looked_at -= 1
        start = now if now > queue.free else queue.free
        if isinstance(cost, Transfer):
            queue.free = end = start + cost.issue_ns
            done = self._moved(task.core, end + cost.start_ns, cost)
        else:
            if cost.table is not None and cost.table != queue.table:
                queue.table, start = cost.table, start + self.table_load
            queue.free = end = start + cost.busy_ns
            done = start + cost.latency_ns
        if done > self.done_by[task.core]:
            self.done_by[task.core] = done
        self._release(task, end, done)
        if task.ordered:
            self._next_ordered(queue)
        self._admit(queue)
        self.left[task.core, task.epoch] -= 1
        if not self.left[task.core, task.epoch]:
            self._open(task.core)

    def _moved(self, core: int, arrives: float, cost: Transfer) -> float:
        """When a transfer is complete, if all of a core go one after another through all engines together."""
        begin = max(arrives, self.dma_free[core])
        self.dma_free[core] = begin + max(cost.total_ns / self.engines, cost.hbm_bytes / self.hbm_rate)
        return max(begin + cost.longest_ns, self.dma_free[core]) + cost.complete_ns

    def _next_ordered(self, queue: _Unplaced) -> None:
        queue.ordered.pop(0)
        if queue.ordered and queue.ordered[0] in queue.held:
            number = queue.ordered[0]
            queue.held.remove(number)
            self._offer(queue, self.tasks[number])

    def _release(self, task: Task, end: float, done: float) -> None:
        number, behind = task.number, self.followers
        seen_after = self.wake_up if task.engine == "dma" else self.semaphore
        can_start, pending = self.can_start, self.pending
        for others, when in (
            (behind.by_result[number], done + seen_after),
            (behind.by_issue[number], end + seen_after),
            (behind.on_pe[number], end),
        ):
            for other in others:
                if when > can_start[other]:
                    can_start[other] = when
                pending[other] -= 1
                if not pending[other] and self.is_open[other]:
                    self._offer(self.queue_of[other], self.tasks[other])


def _paths(
    tasks: list[Task], costs: list[Cost | Transfer], behind: Followers, semaphore: float, wake_up: float
) -> list[float]:
    """Nanoseconds from the start of each task to the end of the longest chain behind it, in its epoch."""
    own = [
        c.issue_ns + c.start_ns + c.longest_ns + c.complete_ns + wake_up
        if isinstance(c, Transfer)
        else c.latency_ns + semaphore
        for c in costs
    ]
    path = [0.0] * len(tasks)
    partner: dict[int, int] = {}
    for task in reversed(tasks):
        n = task.number
        longest = 0.0
        for others in (behind.by_result[n], behind.by_issue[n], behind.on_pe[n]):
            for other in others:
                if path[other] > longest:
                    longest = path[other]
        path[n] = own[task.work] + longest
        if task.meeting >= 0:
            other = partner.setdefault(task.meeting, n)
            path[n] = max(path[n], path[other])
    return path
