"""Timelines written by hand: every time in them is given, none is computed by what the tests check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nkisim.errors import Location
from nkisim.machine import Machine, load_machine
from nkisim.observe import CostClass, Event, Position, Traits, Work
from nkisim.timing import Timeline
from nkisim.timing.costs import Cost, Transfer
from nkisim.timing.duration import NOTHING, Duration
from nkisim.timing.task import Task

TRAITS = Traits(CostClass.copy)
"""Of tasks whose costs are given, not computed."""


@dataclass
class HandMade:
    """A timeline that grows by one task a call."""

    machine: Machine = field(default_factory=lambda: load_machine("trn2"))

    def __post_init__(self) -> None:
        self.timeline = Timeline(self.machine, [], [], [])

    def engine(
        self, engine: str, times: tuple[float, float, float, float], cost: Cost | None = None, **more: Any
    ) -> int:
        """A task of an engine: issue, begin, end, done; `more`: core, line, because, reason, epoch, meeting."""
        _, begin, end, done = times
        cost = cost or Cost(Duration(documented=end - begin), Duration(derived=done - begin))
        return self._add(engine, engine, times, cost, **more)

    def transfer(self, queue: str, times: tuple[float, float, float, float], cost: Transfer, **more: Any) -> int:
        """A DMA task: issue, first byte, last byte, completion."""
        return self._add("dma", queue, times, cost, **more)

    def _add(
        self, engine: str, queue: str, times: tuple[float, float, float, float], cost: Cost | Transfer,
        core: int = 0, line: int = 1, because: int = -1, reason: str = "start", epoch: int = 0, meeting: int = -1,
    ) -> int:  # fmt: skip
        t = self.timeline
        number, where = len(t.tasks), Position((Location("kernel.py", line),))
        opcode = "dma_copy" if isinstance(cost, Transfer) else f"{engine}_instruction"
        index = sum(task.core == core for task in t.tasks)
        t.tasks.append(
            Task(number, core, index, opcode, engine, where, None, queue, number, [], epoch=epoch, meeting=meeting)
        )
        t.examples.append(Event(index, core, opcode, TRAITS, engine, (), (), Work(), {}, where))
        t.costs.append(cost)
        for times_of, ns in zip((t.issue, t.begin, t.end, t.done), times, strict=True):
            times_of.append(ns)
        t.because.append(because)
        t.reason.append(reason)
        return number


def transfer_cost(
    issue: float = 50.0, start: float = 1000.0, moving: float = 100.0, complete: float = 10.0, nbytes: int = 4096
) -> Transfer:
    """A transfer whose issue is assumed, start derived, moving documented and completion derived."""
    return Transfer(
        Duration(assumed=issue), Duration(derived=start), (moving, 0.0),
        Duration(documented=moving) if moving else NOTHING, Duration(derived=complete), nbytes, 2, nbytes,
    )  # fmt: skip
