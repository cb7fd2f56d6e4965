# SPDX-License-Identifier: Apache-2.0
"""Device loops drain a core: every iteration ends with all engines and transfers at rest, and a barrier over them.

Nothing of the next iteration starts before, so nothing is prefetched across it, whether or not the number of iterations
is known while tracing. A drain costs what is left of the work under way, and a fixed time behind that.
A loop at the end of a kernel is left with the kernel: nothing waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.machine import Machine
from nkisim.observe import LoopMark
from nkisim.timing.duration import NOTHING, Duration, fixed


@dataclass
class Drain:
    """Between two epochs of a core: loops entered, loops left, turns from one iteration to the next."""

    entries: int = 0
    turns: int = 0
    exits: int = 0

    @property
    def is_due(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self.entries or self.turns or self.exits)

    def cost(self, machine: Machine) -> Duration:
        """How long it takes once everything is at rest."""
        total = NOTHING
        for key, count in (("entry", self.entries), ("turn", self.turns), ("exit", self.exits)):
            total = total.plus(fixed(machine, f"sync.loop_{key}").times(count)) if count else total
        return total


@dataclass
class Epochs:
    """The epochs of one core: stretches of its program between two drains. A loop without iterations drains nothing.

    Attributes:
        drains: the one before epoch 1, the one before epoch 2, ...
    """

    drains: list[Drain] = field(default_factory=list)
    _next: Drain = field(default_factory=Drain)
    _has_iterated: list[bool] = field(default_factory=list)

    def mark(self, mark: LoopMark) -> None:
        """A loop begins, goes on to its next iteration, or ends."""
        if mark is LoopMark.begin:
            self._next.entries += 1
            self._has_iterated.append(False)
        elif mark is LoopMark.iteration:
            self._next.turns += self._has_iterated[-1]
            self._has_iterated[-1] = True
        elif self._has_iterated.pop():
            self._next.exits += 1
        else:
            self._next.entries -= 1

    def current(self) -> int:
        """The epoch of an instruction issued now."""
        if self._next.is_due:
            self.drains.append(self._next)
            self._next = Drain()
        return len(self.drains)
