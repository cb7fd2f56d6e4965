# SPDX-License-Identifier: Apache-2.0
"""A program as records, made once for all its schedules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from typing import NamedTuple

from nkisim.timing.flat.records import OPERAND, START, Instruction, Line
from nkisim.timing.flat.waits import find_waits, follow
from nkisim.timing.flat.ways import Way
from nkisim.timing.task import Stream, Task

Order = Mapping[Stream, Sequence[int]]


class LaidOut(NamedTuple):
    """A program in an order: its tasks, what they wait for, its queues, and their tasks one queue after another."""

    tasks: list[Instruction]
    waits: list[int]
    lines: list[Line]
    numbers: list[int]


class FlatProgram:
    """Tasks of a program that is complete, as records of one way; who waits for whom; and what an order leaves of it.

    Args:
        epochs: how many each core has.

    Attributes:
        count: how many tasks there are. meetings: how many meetings.
        after: how many others each waits for. reasons: what for, before anything is known of its queue.
        meets: of each task, whether it is part of a meeting.
        streams: sorted. left: of each core, how many tasks its epochs have.
    """

    def __init__(self, tasks: Sequence[Task], order: Order, epochs: Sequence[int], way: Way) -> None:
        self.way, self.count, self._order = way, len(tasks), order
        self._tasks, self.streams = tasks, sorted(order)
        self.meetings = 1 + max((task.meeting for task in tasks), default=-1)
        counts = Counter([(task.core, task.epoch) for task in tasks])
        self.left = [[counts[core, epoch] for epoch in range(count)] for core, count in enumerate(epochs)]
        self.after = [len(task.after) for task in tasks]
        self.meets = way.ints([task.meeting >= 0 for task in tasks])
        self.reasons = way.ints([OPERAND if task.after else START for task in tasks])
        self._works = 1 + max((task.work for task in tasks), default=-1)
        self._stops = list(accumulate(self.after))
        self._waits = way.ints(list(chain.from_iterable([task.after for task in tasks])))
        self._columns = [
            way.ints(column)
            for column in (
                [task.core for task in tasks], [task.work for task in tasks], [task.epoch for task in tasks],
                [task.meeting for task in tasks], [int(task.ordered) for task in tasks],
                [int(task.engine == "tensor") for task in tasks], [int(task.engine == "dma") for task in tasks],
            )
        ]  # fmt: skip
        self._program = self._instructions([0, *self._stops[:-1]] if tasks else [], self._stops, -1)
        self._latest: tuple[Order, LaidOut] | None = None

    @cached_property
    def followers(self) -> LaidOut:
        """Program order, with its streams sorted; instead of what tasks wait for it has who waits for them."""
        lines, numbers = self._lines({stream: self._order[stream] for stream in self.streams})
        place = {stream: queue for queue, stream in enumerate(self.streams)}
        queues = [place[task.core, task.queue] for task in self._tasks]
        behind, followers = self._instructions(0, 0, queues), self.way.filled(sum(self.after), 0)
        self.way.function(follow)(self._program, self._waits, behind, followers)
        return LaidOut(behind, followers, lines, numbers)

    @cached_property
    def _ordered(self) -> list[Instruction]:
        """The tasks in the latest order."""
        return self._instructions(0, 0, -1)

    def in_order(self, order: Order) -> LaidOut:
        """The queues in this order, and what tasks wait for in it; of one order that is found once in a row."""
        if self._latest is None or self._latest[0] is not order:
            lines, numbers = self._lines(order)
            tasks, waits = self._ordered, self.way.filled(sum(self.after), 0)
            before = self.way.filled(2 * self.count, -1)
            self.way.function(find_waits)(
                self._program, self._waits, lines, numbers, tasks, waits, before, self._works
            )  # fmt: skip
            self._latest = order, LaidOut(tasks, waits, lines, numbers)
        return self._latest[1]

    def _instructions(
        self, first: Sequence[int] | int, stop: Sequence[int] | int, queue: Sequence[int] | int
    ) -> list[Instruction]:
        core, work, epoch, meeting, ordered, on_pe, on_dma = self._columns
        return self.way.records(
            Instruction, self.count, core, work, epoch, meeting, first, stop, queue, ordered, on_pe, on_dma
        )

    def _lines(self, order: Order) -> tuple[list[Line], list[int]]:
        """The queues of an order, and their tasks one queue after another."""
        lengths, names = [len(numbers) for numbers in order.values()], [name for _, name in order]
        stops = list(accumulate(lengths))
        lines = self.way.records(
            Line, len(order), [core for core, _ in order], [0, *stops[:-1]] if order else [], stops,
            [name == "tensor" for name in names], [name.startswith("dge") for name in names],
        )  # fmt: skip
        return lines, self.way.ints([*chain.from_iterable(order.values())])
