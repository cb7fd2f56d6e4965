# SPDX-License-Identifier: Apache-2.0
"""Program to timeline: tasks start in order on their queues, as soon as what they wait for is there.

When an instruction of an engine runs follows from what it waits for and from the one before it, so the queues of engines
run ahead of each other, each until it waits for something that is not known yet. Triggers of transfers that may be held
or overtaken, meetings, and what happens at the DMA engines, which share the HBM stack, are taken in the order of time.
The work is linear in tasks and dependencies, but for a heap of those.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping

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
_UNKNOWN = float("inf")


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

    Those before `limit` are of an epoch that has begun; `following` is the first that does not wait yet. None starts
    while `depth` descriptors or more are `under_way`: have not moved their bytes. Those in `held` wait for that. `last`
    and `reason` say what kept the queue until `free`. `table` is the function table that the engine holds.
    """

    __slots__ = (
        "depth", "following", "free", "held", "is_ahead", "last", "limit", "pe", "reason", "table", "tasks",
        "under_way", "waiting", "window",
    )  # fmt: skip

    def __init__(self, tasks: list[int], window: int, depth: float, pe: Pe | None) -> None:
        self.tasks, self.window, self.depth, self.pe = tasks, window, depth, pe
        self.is_ahead = window == 1 and depth == _UNKNOWN
        self.following = self.limit = self.waiting = self.under_way = 0
        self.held: list[int] = []
        self.free, self.last, self.reason = 0.0, -1, "queue"
        self.table: str | None = None


class _Scheduler:
    """One schedule. `seen` has when others see the result of task n at 2 n, and that it has left its engine at 2 n + 1;
    `blocked` which tasks wait to know of a task; `known` those that need not any more.
    """

    def __init__(self, program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None) -> None:
        self.machine, self.tasks = machine, program.tasks
        count = len(self.tasks)
        self.costs = program.works.costs(machine)
        self.timeline = Timeline(
            machine, self.tasks, program.works.examples, self.costs, [0.0] * count, [0.0] * count, [0.0] * count,
            [0.0] * count, [-1] * count, ["operand" if task.after else "start" for task in self.tasks],
            order or program.order,
        )  # fmt: skip
        self.waits = program.waits(self.timeline.order)
        self.ready, self.seen = [0.0] * count, [_UNKNOWN] * (2 * count)
        self.blocked: dict[int, list[int]] = {}
        self.known: list[int] = []
        number = machine.number
        self.queues = {
            stream: _Queue(numbers, self._window(numbers) if order is None else 1, self._depth(stream),
                           Pe(machine) if stream[1] == "tensor" else None)
            for stream, numbers in self.timeline.order.items()
        }  # fmt: skip
        self.queue_of = [self.queues[task.core, task.queue] for task in self.tasks]
        self.semaphore, self.wake = number("sync.semaphore"), number("dma.to_engine")
        self.table_load = number("act_time.table_load")
        cores = sorted({task.core for task in self.tasks})
        self.drains = {core: [drain.cost(machine).ns for drain in program.drains[core]] for core in cores}
        self.epoch = dict.fromkeys(cores, 0)
        epochs = Counter([(task.core, task.epoch) for task in self.tasks])
        self.left = {core: [epochs[core, epoch] for epoch in range(len(self.drains[core]) + 1)] for core in cores}
        self.latest = dict.fromkeys(cores, -1)
        self.dma = DmaEngines(cores, machine["dma.engines"], number("hbm.stack_rate"))
        self.dma_due = _UNKNOWN
        self.waiting: dict[int, tuple[float, int]] = {}
        self.heap: list[tuple[float, int]] = []

    def run(self) -> None:
        for core in self.epoch:
            self._open(core)
        heap, known = self.heap, self.known
        while heap or known:
            if known:
                number = known.pop()
                queue = self.queue_of[number]
                if queue.is_ahead:
                    self._go_on(queue)
                else:
                    self._offer(queue, number)
                continue
            at, number = heapq.heappop(heap)
            if number >= 0:
                self._start(at, number)
            else:
                self._move(at, number)
        left = sum(sum(epochs) for epochs in self.left.values())
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
        return self.machine.number("dma.queued") if stream[1].startswith("dge") else _UNKNOWN

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
                numbers, limit, tasks = queue.tasks, queue.limit, self.tasks
                while limit < len(numbers) and tasks[numbers[limit]].epoch == epoch:
                    limit += 1
                if limit > queue.limit:
                    queue.limit = limit
                    self._admit(queue)

    def _admit(self, queue: _Queue) -> None:
        """Let the next instructions of the queue wait for their operands, as far as its window and the epoch go."""
        if queue.is_ahead:
            self.known.append(queue.tasks[queue.following])
            return
        while queue.waiting < queue.window and queue.following < queue.limit:
            number = queue.tasks[queue.following]
            queue.following += 1
            queue.waiting += 1
            self._offer(queue, number)

    def _offer(self, queue: _Queue, number: int) -> None:
        """A task that waits to start does, in its time, if it is known when what it waits for is there."""
        ready, cause = 0.0, -1
        for waited in self.waits[number]:
            at = self.seen[waited]
            if at > ready:
                ready, cause = at, waited >> 1
        if ready == _UNKNOWN:
            self.blocked.setdefault(cause, []).append(number)
            return
        self.ready[number], self.timeline.because[number] = ready, cause
        heapq.heappush(self.heap, (ready if ready > queue.free else queue.free, number))

    def _go_on(self, queue: _Queue) -> None:
        """Start the tasks of a queue one after another, until one waits for what is not known yet."""
        tasks, waits, seen, because, behind = self.tasks, self.waits, self.seen, self.timeline.because, self.ready
        numbers, following, limit = queue.tasks, queue.following, queue.limit
        while following < limit:
            number = numbers[following]
            ready, cause = 0.0, -1
            for waited in waits[number]:
                at = seen[waited]
                if at > ready:
                    ready, cause = at, waited
            if ready == _UNKNOWN:
                self.blocked.setdefault(cause >> 1, []).append(number)
                break
            behind[number], because[number] = ready, cause >> 1
            task = tasks[number]
            if task.meeting >= 0:
                heapq.heappush(self.heap, (ready if ready > queue.free else queue.free, number))
                break
            following += 1
            queue.following = following
            self._run(number, task, queue, ready, -1)

    def _start(self, at: float, number: int) -> None:
        """Start a task at `at`, its turn in the order of time, if its queue lets it."""
        queue = self.queue_of[number]
        if queue.free > at:
            heapq.heappush(self.heap, (queue.free, number))
            return
        if queue.under_way >= queue.depth:
            queue.held.append(number)
            return
        meeting = self.tasks[number].meeting
        if meeting < 0:
            self._begin(number, at, -1)
            return
        partner = self.waiting.pop(meeting, None)
        if partner is None:
            self.waiting[meeting] = (at, number)
            return
        self._begin(partner[1], at, number)
        self._begin(number, at, -1)

    def _begin(self, number: int, at: float, met: int) -> None:
        """As `_run`; then the next tasks of the queue may wait."""
        queue = self.queue_of[number]
        if queue.is_ahead:
            queue.following += 1
        else:
            queue.waiting -= 1
        self._run(number, self.tasks[number], queue, at, met)
        if queue.following < queue.limit:
            self._admit(queue)

    def _run(self, number: int, task: Task, queue: _Queue, at: float, met: int) -> None:
        t, cost, ready = self.timeline, self.costs[task.work], self.ready[number]
        if met >= 0:
            t.because[number], t.reason[number] = met, "meeting"
        elif queue.last >= 0 and queue.free >= ready:
            t.because[number], t.reason[number] = queue.last, queue.reason
        if queue.free > at:
            at = queue.free
        queue.last, queue.reason = number, "queue"
        t.issue[number] = at
        if isinstance(cost, Transfer):
            queue.free = at + cost.issue_ns
            queue.under_way += cost.descriptors
            heapq.heappush(self.heap, (queue.free + cost.start_ns, _ARRIVES - number))
            return
        if queue.pe is not None:
            begin, end = queue.pe.run(at, ready, cost)
            queue.free, done = begin, begin + cost.latency_ns + (end - begin - cost.busy_ns)
        else:
            begin = at
            if cost.table is not None and cost.table != queue.table:
                queue.table, begin = cost.table, at + self.table_load
            queue.free = end = begin + cost.busy_ns
            done = begin + cost.latency_ns
        if end > done:
            done = end
        t.begin[number], t.end[number], t.done[number] = begin, end, done
        self._finish(number, task, end, done)

    def _move(self, now: float, event: int) -> None:
        """A transfer joins its queues at the DMA engines, or some may have moved their last bytes."""
        if event == _DMA:
            if now != self.dma_due:
                return
            self.dma_due = _UNKNOWN
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
        done = end + cost.complete_ns
        t.begin[number], t.end[number], t.done[number] = begin, end, done
        if end - t.issue[number] > cost.issue_ns + cost.start_ns + 1.01 * cost.longest_ns:
            t.reason[number] = "hbm" if self.dma.starved else "dma"
        queue = self.queue_of[number]
        queue.under_way -= cost.descriptors
        if queue.held and queue.under_way < queue.depth:
            queue.free, queue.last, queue.reason = end, number, "dma"
            for other in queue.held:
                heapq.heappush(self.heap, (end, other))
            queue.held.clear()
        self._finish(number, task, end, done)

    def _finish(self, number: int, task: Task, end: float, done: float) -> None:
        """It is known when a task is done; with the last one of an epoch the core drains."""
        after, seen, core, epoch = self.semaphore if task.engine != "dma" else self.wake, self.seen, task.core, task.epoch
        seen[2 * number], seen[2 * number + 1] = done + after, end + after
        if number in self.blocked:
            self.known += self.blocked.pop(number)
        left = self.left[core]
        left[epoch] -= 1
        if self.drains[core]:
            latest = self.latest[core]
            if latest < 0 or done >= self.timeline.done[latest]:
                self.latest[core] = number
            if not left[epoch]:
                self._open(core)
