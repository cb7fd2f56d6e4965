# SPDX-License-Identifier: Apache-2.0
"""When everything happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nkisim.machine import Machine
from nkisim.observe import Event
from nkisim.timing.costs import Cost, Transfer
from nkisim.timing.task import Stream, Task


@dataclass(eq=False)
class Timeline:
    """The schedule of a program. All times are nanoseconds from the start of the launch; lists are by task number.

    Attributes:
        machine: what it was predicted for.
        tasks: the instructions.
        examples, costs: by number of work: an event that does it, and its durations.
        issue: when the task's queue starts it: on an engine, or the trigger of a DMA.
        begin, end: when its engine works on it; for a DMA, the first and the last byte.
        done: when others can use the result.
        because: the task it waited for last, or -1: none.
        reason: what that wait was for: "operand", "engine" (busy), "queue" (program order), "dma" (engines busy),
            "hbm", "meeting", "drain" (all engines at rest, at the end of an iteration of a loop), "start".
        order: numbers of tasks by stream, as it was asked for.
    """

    machine: Machine
    tasks: list[Task]
    examples: list[Event]
    costs: list[Cost | Transfer]
    issue: list[float] = field(default_factory=list)
    begin: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    because: list[int] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    order: Mapping[Stream, list[int]] = field(default_factory=dict)

    @property
    def latency_ns(self) -> float:
        """When the last task is done."""
        return max(self.done, default=0.0)

    @property
    def cores(self) -> int:
        return 1 + max((task.core for task in self.tasks), default=0)

    def example(self, task: Task) -> Event:
        """An event with the same operands, but for addresses, as the one of `task`."""
        return self.examples[task.work]

    def transfers(self) -> Iterator[tuple[Task, Transfer]]:
        """The DMA tasks."""
        for task in self.tasks:
            cost = self.costs[task.work]
            if isinstance(cost, Transfer):
                yield task, cost
