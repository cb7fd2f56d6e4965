# SPDX-License-Identifier: Apache-2.0
"""An instruction as the scheduler sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

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
