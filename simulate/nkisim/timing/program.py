# SPDX-License-Identifier: Apache-2.0
"""What a launch did, as far as its schedule depends on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from nkisim.timing.costs import Works
from nkisim.timing.drains import Drain
from nkisim.timing.flat.program import FlatProgram
from nkisim.timing.flat.ways import Way
from nkisim.timing.task import Stream, Task, program_order


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
    _flat: dict[Way, FlatProgram] = field(default_factory=dict)

    @cached_property
    def order(self) -> dict[Stream, list[int]]:
        """Numbers of tasks by stream, as the kernel wrote them."""
        return program_order(self.tasks)

    def flat(self, way: Way) -> FlatProgram:
        """The program as arrays."""
        if way not in self._flat:
            self._flat[way] = FlatProgram(self.tasks, self.order, [len(of) + 1 for of in self.drains], way)
        return self._flat[way]
