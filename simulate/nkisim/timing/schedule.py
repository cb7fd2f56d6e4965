# SPDX-License-Identifier: Apache-2.0
"""Program to timeline: tasks start in order on their queues, as soon as what they wait for is there.

Tasks are taken in the order of the time at which they can start, so that what they share (DMA engines, the HBM stack, a
partner core) sees them in the order of time. The work is linear in tasks and dependencies, but for a heap.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

from nkisim.errors import SimulationError
from nkisim.machine import Machine
from nkisim.timing.costs import Cost, Transfer
from nkisim.timing.dma_engines import DmaEngines
from nkisim.timing.engines import Pe
from nkisim.timing.program import Program
from nkisim.timing.task import Stream, Task
from nkisim.timing.timeline import Timeline

# What the heap holds beside numbers of tasks that can start: transfers may end, and transfer -2 - n arrives.
_DMA, _ARRIVES = -1, -2


def schedule(program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None = None) -> Timeline:
    """When each task of `program` runs on `machine`.

    Args:
        order: numbers of tasks by stream; by default program order, but for a few transfers (`_window`).
    """
    scheduler = _Scheduler(program, machine, order)
    scheduler.run()
    return scheduler.timeline


class _Queue:
    """Instructions of one stream, in order. At most `window` of them wait to start.

    None starts while `depth` descriptors or more are `under_way`: have not moved their bytes. Those in `held` wait for
    that. `last` and `reason` say what kept the queue until `free`.
    """

    __slots__ = ("admitted", "depth", "free", "held", "last", "reason", "tasks", "under_way", "waiting", "window")

    def __init__(self, tasks: list[int], window: int, depth: float) -> None:
        self.tasks, self.window, self.depth = tasks, window, depth
        self.admitted = self.waiting = self.under_way = 0
        self.held: list[int] = []
        self.free, self.last, self.reason = 0.0, -1, "queue"


class _Scheduler:
    def __init__(self, program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None) -> None:
        self.machine, self.tasks = machine, program.tasks
        count = len(self.tasks)
        self.costs = program.works.costs(machine)
        self.timeline = Timeline(
            machine, self.tasks, program.works.examples, self.costs, [0.0] * count, [0.0] * count, [0.0] * count,
            [0.0] * count, [-1] * count, ["operand" if task.after else "start" for task in self.tasks],
            order or program.order,
        )  # fmt: skip
        self.pending = [len(task.after) for task in self.tasks]
        self.ready = [0.0] * count
        self.is_open = bytearray(count)
        self.followers = program.followers
        number = machine.number
        self.queues = {
            stream: _Queue(numbers, self._window(numbers) if order is None else 1, self._depth(stream))
            for stream, numbers in self.timeline.order.items()
        }
        self.queue_of = [self.queues[task.core, task.queue] for task in self.tasks]
        self.semaphore, self.wake = number("sync.semaphore"), number("dma.to_engine")
        self.table_load = number("act_time.table_load")
        cores = sorted({task.core for task in self.tasks})
        self.drains = {core: [drain.cost(machine).ns for drain in program.drains[core]] for core in cores}
        self.epoch = dict.fromkeys(cores, 0)
        epochs = Counter([(task.core, task.epoch) for task in self.tasks])
        self.left = {core: [epochs[core, epoch] for epoch in range(len(self.drains[core]) + 1)] for core in cores}
        self.latest = dict.fromkeys(cores, -1)
        self.pes = {core: Pe(machine) for core in cores}
        self.dma = DmaEngines(cores, machine["dma.engines"], number("hbm.stack_rate"))
        self.dma_due = float("inf")
        self.tables: dict[int, str | None] = {}
        self.waiting: dict[int, tuple[float, int]] = {}
        self.heap: list[tuple[float, int]] = []

    def run(self) -> None:
        for core in self.epoch:
            self._open(core)
        left = len(self.tasks)
        heap = self.heap
        while heap:
            at, number = heapq.heappop(heap)
            if number >= 0:
                left -= self._start(at, number)
            else:
                self._move(at, number)
        if left:
            raise SimulationError(
                "every instruction can start some day",
                f"{left} wait for each other",
                "Look for a depends_on against the program order of an engine.",
            )

    def _window(self, numbers: list[int]) -> int:
        """How many instructions of a queue in program order may wait at a time; the first that can start does.

        One, but for transfers with descriptors made in hardware: a compiler moves their triggers ahead of those that
        must wait, unless the kernel forbids it.
        """
        tasks = [self.tasks[number] for number in numbers]
        if not tasks[0].queue.startswith("dge") or any(task.ordered for task in tasks):
            return 1
        return self.machine["dma.moved_ahead"]

    def _depth(self, stream: Stream) -> float:
        """Descriptors that may be under way on the queue when its next transfer starts."""
        return self.machine.number("dma.queued") if stream[1].startswith("dge") else float("inf")

    def _open(self, core: int) -> None:
        """The core's next epoch that has instructions begins, when all that was done before is done and drained."""
        at, epoch, drains = 0.0, self.epoch[core], self.drains[core]
        if self.latest[core] >= 0:
            at = self.timeline.done[self.latest[core]]
        while not self.left[core][epoch] and epoch < len(drains):
            at += drains[epoch]
            epoch += 1
        self.epoch[core] = epoch
        for (of, _), queue in self.queues.items():
            if of == core:
                if epoch:
                    queue.free, queue.last, queue.reason = at, self.latest[core], "drain"
                self._admit(queue)

    def _admit(self, queue: _Queue) -> None:
        """Let the next instructions of the queue wait for their operands, as far as its window and the epoch go."""
        numbers = queue.tasks
        while queue.waiting < queue.window and queue.admitted < len(numbers):
            number = numbers[queue.admitted]
            task = self.tasks[number]
            if task.epoch != self.epoch[task.core]:
                return
            queue.admitted += 1
            queue.waiting += 1
            self.is_open[number] = 1
            if not self.pending[number]:
                ready, free = self.ready[number], queue.free
                heapq.heappush(self.heap, (ready if ready > free else free, number))

    def _start(self, at: float, number: int) -> int:
        """Start a task at `at`. Returns how many tasks that started."""
        queue = self.queue_of[number]
        if queue.free > at:
            heapq.heappush(self.heap, (queue.free, number))
            return 0
        if queue.under_way >= queue.depth:
            queue.held.append(number)
            return 0
        meeting = self.tasks[number].meeting
        if meeting >= 0:
            partner = self.waiting.pop(meeting, None)
            if partner is None:
                self.waiting[meeting] = (at, number)
                return 0
            self._run(partner[1], at, met=number)
            self._run(number, at, met=-1)
            return 2
        self._run(number, at, met=-1)
        return 1

    def _run(self, number: int, at: float, met: int) -> None:
        task, t = self.tasks[number], self.timeline
        queue, cost, ready = self.queue_of[number], self.costs[task.work], self.ready[number]
        if queue.free > at:
            at = queue.free
        if met >= 0:
            t.because[number], t.reason[number] = met, "meeting"
        elif queue.last >= 0 and queue.free >= ready:
            t.because[number], t.reason[number] = queue.last, queue.reason
        queue.waiting -= 1
        queue.reason = "queue"
        if isinstance(cost, Transfer):
            queue.free, queue.last, t.issue[number] = at + cost.issue_ns, number, at
            queue.under_way += cost.descriptors
            heapq.heappush(self.heap, (queue.free + cost.start_ns, _ARRIVES - number))
            self._admit(queue)
            return
        if task.engine == "tensor":
            begin, end = self.pes[task.core].run(at, ready, cost)
            issued, done = begin, begin + cost.latency_ns + (end - begin - cost.busy_ns)
        else:
            begin = at if cost.table is None else at + self._table_load(task, cost)
            issued = end = begin + cost.busy_ns
            done = begin + cost.latency_ns
        queue.free, queue.last = issued, number
        t.issue[number], t.begin[number], t.end[number], t.done[number] = at, begin, end, max(done, end)
        self._release(number, task)
        self._admit(queue)
        self._finish(number, task)

    def _move(self, now: float, event: int) -> None:
        """A transfer joins its queues at the DMA engines, or some may have moved their last bytes."""
        if event == _DMA:
            if now != self.dma_due:
                return
            self.dma_due = float("inf")
        else:
            number = _ARRIVES - event
            task = self.tasks[number]
            transfer = self.costs[task.work]
            assert isinstance(transfer, Transfer)
            if transfer.longest_ns:
                self.dma.arrive(now, number, task.core, task.queue, transfer)
            else:
                self._arrived(now, now, number)
        for number in self.dma.finished(now):
            self._arrived(self.dma.begins.pop(number), now, number)
        due = self.dma.next_end()
        if due < self.dma_due:
            self.dma_due = due
            heapq.heappush(self.heap, (due, _DMA))

    def _arrived(self, begin: float, end: float, number: int) -> None:
        """The last byte of a transfer has moved."""
        task, t = self.tasks[number], self.timeline
        cost = self.costs[task.work]
        assert isinstance(cost, Transfer)
        t.begin[number], t.end[number], t.done[number] = begin, end, end + cost.complete_ns
        if end - t.issue[number] > cost.issue_ns + cost.start_ns + 1.01 * cost.longest_ns:
            t.reason[number] = "hbm" if self.dma.starved else "dma"
        queue = self.queue_of[number]
        queue.under_way -= cost.descriptors
        if queue.held and queue.under_way < queue.depth:
            queue.free, queue.last, queue.reason = end, number, "dma"
            for other in queue.held:
                heapq.heappush(self.heap, (end, other))
            queue.held.clear()
        self._release(number, task)
        self._finish(number, task)

    def _finish(self, number: int, task: Task) -> None:
        """A task is done; with the last one of an epoch the core drains."""
        core, done = task.core, self.timeline.done
        latest, left = self.latest[core], self.left[core]
        if latest < 0 or done[number] >= done[latest]:
            self.latest[core] = number
        left[task.epoch] -= 1
        if not left[task.epoch] and self.drains[core]:
            self._open(core)

    def _table_load(self, task: Task, cost: Cost) -> float:
        """Time to load a function table, where the Scalar Engine holds another one."""
        if self.tables.get(task.core) == cost.table:
            return 0.0
        self.tables[task.core] = cost.table
        return self.table_load

    def _release(self, number: int, task: Task) -> None:
        """Tell the followers of a task when they may start."""
        t, (by_result, by_issue, on_pe) = self.timeline, self.followers
        seen_after = self.wake if task.engine == "dma" else self.semaphore
        if by_result[number]:
            self._tell(by_result[number], t.done[number] + seen_after, number)
        if by_issue[number]:
            self._tell(by_issue[number], t.end[number] + seen_after, number)
        for other in on_pe[number]:
            cost = self.costs[self.tasks[other].work]
            assert isinstance(cost, Cost)
            self._tell((other,), t.begin[number] - cost.load_ns, number)

    def _tell(self, others: Iterable[int], when: float, number: int) -> None:
        """As far as task `number` is concerned, the others may start at `when`."""
        ready, because, pending = self.ready, self.timeline.because, self.pending
        for other in others:
            if when > ready[other]:
                ready[other], because[other] = when, number
            elif because[other] < 0:
                because[other] = number
            pending[other] -= 1
            if not pending[other] and self.is_open[other]:
                at, free = ready[other], self.queue_of[other].free
                heapq.heappush(self.heap, (at if at > free else free, other))
