# SPDX-License-Identifier: Apache-2.0
"""What a launch did, as far as its schedule depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nkisim.timing.costs import Works
from nkisim.timing.drains import Drain
from nkisim.timing.task import Followers, Stream, Task, followers, program_order, waits


@dataclass
class Program:
    """All that a schedule needs. Complete when it is scheduled first.

    Attributes:
        tasks: in order of execution, both cores together.
        works: what they do.
        drains: of each core, those before its epoch 1, 2, ...
    """

    tasks: list[Task] = field(default_factory=list)
    works: Works = field(default_factory=Works)
    drains: tuple[list[Drain], list[Drain]] = field(default_factory=lambda: ([], []))
    _latest: tuple[Mapping[Stream, list[int]] | None, list[tuple[int, ...]]] = (None, [])

    @cached_property
    def order(self) -> dict[Stream, list[int]]:
        """Numbers of tasks by stream, as the kernel wrote them."""
        return program_order(self.tasks)

    @cached_property
    def followers(self) -> Followers:
        """Who waits for whom."""
        return followers(self.tasks)

    @cached_property
    def numbers(self) -> list[int]:
        """The number of the work of each task."""
        return [task.work for task in self.tasks]

    @cached_property
    def reasons(self) -> list[str]:
        """What each task waits for before anything is known of its queue."""
        return ["operand" if task.after else "start" for task in self.tasks]

    @cached_property
    def meetings(self) -> set[int]:
        """The tasks that are part of a barrier or an exchange."""
        return {task.number for task in self.tasks if task.meeting >= 0}

    @cached_property
    def epochs(self) -> dict[int, list[int]]:
        """Of each core that has tasks, how many of them each epoch has."""
        counts = Counter([(task.core, task.epoch) for task in self.tasks])
        cores = sorted({core for core, _ in counts})
        return {core: [counts[core, epoch] for epoch in range(len(self.drains[core]) + 1)] for core in cores}

    def waits(self, order: Mapping[Stream, list[int]]) -> list[tuple[int, ...]]:
        """What each task waits for in this order, as `waits` has it; of one order it is found once in a row."""
        known, found = self._latest
        if known is not order:
            found = waits(self.tasks, order)
            self._latest = (order, found)
        return found
