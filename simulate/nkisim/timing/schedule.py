# SPDX-License-Identifier: Apache-2.0
"""Program to timeline: tasks start in order on their queues, as soon as what they wait for is there.

When an instruction of an engine runs follows from what it waits for and from the one before it. So the queues of
engines run ahead, each until it waits for something that is not known yet. Triggers of transfers that may be held or
overtaken, meetings, and all that happens at the DMA engines, which share the HBM stack, are taken in the order of time.
The work is linear in tasks and dependencies, but for a heap of those.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from nkisim.errors import SimulationError
from nkisim.machine import Machine
from nkisim.timing.costs import Transfer
from nkisim.timing.dma_engines import DmaEngines
from nkisim.timing.program import Program
from nkisim.timing.queues import NEVER, Queue
from nkisim.timing.task import Stream
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


class _Scheduler:
    """One schedule.

    Attributes:
        seen: when others see the result of task n, at 2 n, and that it has left its engine, at 2 n + 1.
        ready: when what a task waits for is there, of those that are taken in the order of time.
        blocked: which tasks wait to know when a task is done; `known`: those that need not any more.
        apart: tasks of meetings that are to come; `come`: of a meeting, who came first, and when.
        met: of those who came first, when the other came, and which task it is.
    """

    def __init__(self, program: Program, machine: Machine, order: Mapping[Stream, list[int]] | None) -> None:
        self.machine, self.tasks, self.works = machine, program.tasks, program.numbers
        count = len(self.tasks)
        self.costs = program.works.costs(machine)
        self.timeline = Timeline(
            machine, self.tasks, program.works.examples, self.costs, [0.0] * count, [0.0] * count, [0.0] * count,
            [0.0] * count, [-1] * count, program.reasons.copy(), order or program.order,
        )  # fmt: skip
        self.waits, self.seen = program.waits(self.timeline.order), [NEVER] * (2 * count)
        self.queues = {
            stream: Queue(stream, numbers, self._window(numbers) if order is None else 1, machine)
            for stream, numbers in self.timeline.order.items()
        }
        self.ready: dict[int, float] = {}
        self.blocked: dict[int, list[int]] = {}
        self.known: list[int] = []
        self.apart = program.meetings.copy()
        self.come: dict[int, tuple[float, int]] = {}
        self.met: dict[int, tuple[float, int]] = {}
        self.wake = machine.number("dma.to_engine")
        self.left = {core: counts.copy() for core, counts in program.epochs.items()}
        self.drains = {core: [drain.cost(machine).ns for drain in program.drains[core]] for core in self.left}
        self.epoch, self.latest = dict.fromkeys(self.left, 0), dict.fromkeys(self.left, -1)
        self.dma = DmaEngines(self.left, machine["dma.engines"], machine.number("hbm.stack_rate"))
        self.dma_due = NEVER
        self.heap: list[tuple[float, int]] = []

    def run(self) -> None:
        for core in self.epoch:
            self._open(core)
        heap, known = self.heap, self.known
        while heap or known:
            if known:
                self._offer(known.pop())
                continue
            at, number = heapq.heappop(heap)
            if number >= 0:
                self._start(at, number)
            else:
                self._move(at, number)
        left = sum(map(sum, self.left.values()))
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

    def _queue(self, number: int) -> Queue:
        task = self.tasks[number]
        return self.queues[task.core, task.queue]

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
                queue.limit = limit
                self.known += queue.admit()

    def _offer(self, number: int) -> None:
        """What the task waits for, the next of its queue or one that may start out of order, may be known."""
        queue = self._queue(number)
        if queue.runs_ahead:
            self._go_on(queue)
            return
        ready, cause = 0.0, -1
        for waited in self.waits[number]:
            at = self.seen[waited]
            if at > ready:
                ready, cause = at, waited >> 1
        if ready == NEVER:
            self.blocked.setdefault(cause, []).append(number)
            return
        self.ready[number], self.timeline.because[number] = ready, cause
        heapq.heappush(self.heap, (ready if ready > queue.free else queue.free, number))

    def _go_on(self, queue: Queue) -> None:
        """Start the tasks of a queue one after another, until one waits for what is not known yet.

        Most of the time of a schedule is spent here: all that is used for each task is in a local variable.
        """
        t, waits, seen, blocked, works, costs = (
            self.timeline,
            self.waits,
            self.seen,
            self.blocked,
            self.works,
            self.costs,
        )
        issue, begins, ends, dones, because, reason = t.issue, t.begin, t.end, t.done, t.because, t.reason
        numbers, following, free, last, why = queue.tasks, queue.following, queue.free, queue.last, queue.reason
        run, seen_after, apart, met, known = queue.engine.run, queue.seen_after, self.apart, self.met, self.known
        ended: list[int] = []
        while following < queue.limit:
            number = numbers[following]
            ready, cause = 0.0, -1
            for waited in waits[number]:
                at = seen[waited]
                if at > ready:
                    ready, cause = at, waited
            if ready == NEVER:
                blocked.setdefault(cause >> 1, []).append(number)
                break
            if apart and number in apart:
                heapq.heappush(self.heap, (ready if ready > free else free, number))
                break
            following += 1
            if free >= ready and last >= 0:
                because[number], reason[number], at = last, why, free
            else:
                because[number], at = cause >> 1, free if free > ready else ready
            if met and number in met:
                at, because[number] = met.pop(number)
                reason[number] = "meeting"
            issue[number], last, why = at, number, "queue"
            cost = costs[works[number]]
            if isinstance(cost, Transfer):
                free = self._trigger(number, at, cost)
                continue
            begin, end, free, done = run(at, ready, cost)
            begins[number], ends[number], dones[number] = begin, end, done
            seen[2 * number], seen[2 * number + 1] = done + seen_after, end + seen_after
            if number in blocked:
                known += blocked.pop(number)
            ended.append(number)
        queue.following, queue.free, queue.last, queue.reason = following, free, last, why
        self._finish(queue.core, ended)

    def _start(self, at: float, number: int) -> None:
        """A trigger or a meeting, whose turn it is in the order of time: start it, if nothing holds it."""
        queue = self._queue(number)
        if queue.free > at:
            heapq.heappush(self.heap, (queue.free, number))
        elif queue.under_way >= queue.depth:
            queue.held.append(number)
        elif number not in self.apart:
            self._start_trigger(queue, number, at)
        else:
            meeting = self.tasks[number].meeting
            first = self.come.pop(meeting, None)
            if first is None:
                self.come[meeting] = at, number
                return
            self.met[first[1]] = at, number
            for each in (first[1], number):
                self.apart.remove(each)
                of = self._queue(each)
                if of.runs_ahead:
                    self.known.append(each)
                else:
                    self._start_trigger(of, each, at)

    def _start_trigger(self, queue: Queue, number: int, at: float) -> None:
        """The trigger of a transfer whose queue does not run ahead."""
        t = self.timeline
        if number in self.met:
            at, t.because[number] = self.met.pop(number)
            t.reason[number] = "meeting"
        elif queue.last >= 0 and queue.free >= self.ready[number]:
            t.because[number], t.reason[number] = queue.last, queue.reason
        at = max(at, queue.free)
        cost = self.costs[self.works[number]]
        assert isinstance(cost, Transfer)
        t.issue[number], queue.last, queue.reason = at, number, "queue"
        queue.free = self._trigger(number, at, cost)
        queue.under_way += cost.descriptors
        queue.waiting -= 1
        self.known += queue.admit()

    def _trigger(self, number: int, at: float, cost: Transfer) -> float:
        """A transfer is triggered at `at`, and arrives at the DMA engines later; when its queue is free again."""
        free = at + cost.issue_ns
        heapq.heappush(self.heap, (free + cost.start_ns, _ARRIVES - number))
        return free

    def _move(self, now: float, event: int) -> None:
        """A transfer joins its queues at the DMA engines, or some may have moved their last bytes."""
        if event == _DMA:
            if now != self.dma_due:
                return
            self.dma_due = NEVER
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
        t, queue, cost = self.timeline, self._queue(number), self.costs[self.works[number]]
        assert isinstance(cost, Transfer)
        done = end + cost.complete_ns
        t.begin[number], t.end[number], t.done[number] = begin, end, done
        if end - t.issue[number] > cost.issue_ns + cost.start_ns + 1.01 * cost.longest_ns:
            t.reason[number] = "hbm" if self.dma.starved else "dma"
        if not queue.runs_ahead:
            queue.under_way -= cost.descriptors
        if queue.held and queue.under_way < queue.depth:
            queue.free, queue.last, queue.reason = end, number, "dma"
            for other in queue.held:
                heapq.heappush(self.heap, (end, other))
            queue.held.clear()
        self.seen[2 * number], self.seen[2 * number + 1] = done + self.wake, end + self.wake
        if number in self.blocked:
            self.known += self.blocked.pop(number)
        self._finish(queue.core, [number])

    def _finish(self, core: int, ended: list[int]) -> None:
        """It is known when these tasks, of one epoch, are done; with the last ones of an epoch the core drains."""
        if not ended:
            return
        left, epoch = self.left[core], self.epoch[core]
        left[epoch] -= len(ended)
        if self.drains[core]:
            done, latest = self.timeline.done, self.latest[core]
            for number in ended:
                if latest < 0 or done[number] >= done[latest]:
                    latest = number
            self.latest[core] = latest
            if not left[epoch]:
                self._open(core)
