# SPDX-License-Identifier: Apache-2.0
"""An instruction as the scheduler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nkisim.errors import Location
from nkisim.observe import Position

Stream = tuple[int, str]
"""A core, and the name of one of its queues."""

AFTER_RESULT, AFTER_ISSUE = 0, 1
"""What a dependency waits for: the result of the other task, or only that it has left its engine."""


@dataclass(slots=True, eq=False)
class Task:
    """One instruction.

    Attributes:
        number: position in the list of tasks of a run, both cores together.
        core, index: the core and the position in its program.
        opcode, engine, position, name: as in the event.
        queue: the stream that starts it. Instructions of a stream start in program order, but for the few that the
            scheduler may move.
        work: number of its work, which says what it costs.
        named: indices in its core's program of tasks it must follow (`depends_on`, registers).
        after: what it waits for, as number of a task * 2 + AFTER_RESULT or AFTER_ISSUE.
        epoch: how often the engines of its core have been drained before it, at ends of loops and their iterations.
        meeting: number of the barrier or exchange it is part of, or -1.
        ordered: inside `nl.no_reorder`.
        tensors: names of its operands, those it reads first, "" without one; empty if none has a name.
    """

    number: int
    core: int
    index: int
    opcode: str
    engine: str
    position: Position
    name: str | None
    queue: str
    work: int
    named: list[int]
    after: tuple[int, ...] = ()
    epoch: int = 0
    meeting: int = -1
    ordered: bool = field(default=False)
    tensors: tuple[str, ...] = ()

    @property
    def location(self) -> Location:
        """The kernel line."""
        return self.position.location


def program_order(tasks: list[Task]) -> dict[Stream, list[int]]:
    """Numbers of tasks by stream, as the program has them."""
    order: dict[Stream, list[int]] = {}
    for task in tasks:
        order.setdefault((task.core, task.queue), []).append(task.number)
    return order


class Followers(NamedTuple):
    """Of each task, the numbers of those that wait for it.

    Attributes:
        by_result, by_issue: those on other engines or cores, by what they wait for.
        on_pe: matmuls that follow a matmul of their core. The PE adds to a bank in order, and loads weights meanwhile.
    """

    by_result: list[list[int]]
    by_issue: list[list[int]]
    on_pe: list[list[int]]


def followers(tasks: list[Task]) -> Followers:
    """Who waits for whom."""
    found = Followers([[] for _ in tasks], [[] for _ in tasks], [[] for _ in tasks])
    kinds = {AFTER_RESULT: found.by_result, AFTER_ISSUE: found.by_issue}
    for task in tasks:
        number, core, on_pe = task.number, task.core, task.engine == "tensor"
        for waited in task.after:
            other = tasks[waited >> 1]
            is_next = on_pe and other.engine == "tensor" and other.core == core
            (found.on_pe if is_next else kinds[waited & 1])[other.number].append(number)
    return found


def waits(tasks: list[Task], order: Mapping[Stream, list[int]]) -> list[tuple[int, ...]]:
    """What each task waits for, as entries of `Task.after`, where the order of its stream says nothing of it.

    A stream that starts in order has waited already for what one of its earlier tasks waits for. Matmuls prepare for
    their start, as long as their work takes: there, for one of the same work. And they follow each other, see
    `Followers.on_pe`. Triggers of transfers whose descriptors hardware makes may overtake each other.
    """
    found: list[tuple[int, ...]] = [()] * len(tasks)
    for (_, queue), numbers in order.items():
        if queue.startswith("dge"):
            for number in numbers:
                found[number] = tasks[number].after
            continue
        on_pe, started, before = queue == "tensor", set(), set()
        for number in numbers:
            task = tasks[number]
            own = []
            for waited in task.after:
                key: object = waited
                if on_pe:
                    if waited >> 1 in started:
                        continue
                    key = (waited, task.work)
                if key not in before:
                    before.add(key)
                    own.append(waited)
            found[number] = tuple(own)
            if on_pe:
                started.add(number)
    return found
