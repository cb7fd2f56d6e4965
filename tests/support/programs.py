"""Programs written by hand: tasks, what they wait for, and what they cost; nothing is traced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nkisim.errors import Location
from nkisim.machine import Machine
from nkisim.observe import Position
from nkisim.timing.costs import Cost, Transfer, Works
from nkisim.timing.drains import Drain
from nkisim.timing.duration import Duration
from nkisim.timing.program import Program
from nkisim.timing.task import AFTER_RESULT, Task

ENGINES = 16


class GivenCosts(Works):
    """Works whose durations are given, not computed from events."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Cost | Transfer] = []

    def costs(self, machine: Machine) -> list[Cost | Transfer]:
        return self.given


def cost(busy: float, latency: float | None = None, load: float = 0.0, table: str | None = None) -> Cost:
    """An instruction; by default its result is there when the engine is free again."""
    result = busy if latency is None else latency
    return Cost(Duration(documented=busy), Duration(documented=result), Duration(documented=load), table=table)


def moved(moving: float, issue: float = 50.0, start: float = 100.0, complete: float = 10.0) -> Transfer:
    """A transfer that takes all engines so long, with 100 bytes of HBM traffic."""
    return Transfer(
        Duration(documented=issue), Duration(documented=start), (moving,) * ENGINES, Duration(documented=moving),
        Duration(documented=complete), 100, ENGINES, 100,
    )  # fmt: skip


@dataclass
class HandProgram:
    """A program that grows by one task a call."""

    program: Program = field(default_factory=lambda: Program(works=GivenCosts()))

    def add(
        self, queue: str, what: Cost | Transfer, after: Iterable[int] = (), *, kind: int = AFTER_RESULT, core: int = 0,
        epoch: int = 0, meeting: int = -1, ordered: bool = False,
    ) -> int:  # fmt: skip
        """Number of a new task on a queue, behind the tasks `after`."""
        tasks, works = self.program.tasks, self.program.works
        assert isinstance(works, GivenCosts)
        number, engine = len(tasks), "dma" if isinstance(what, Transfer) else queue
        works.given.append(what)
        tasks.append(
            Task(
                number, core, sum(task.core == core for task in tasks), f"{engine}_work", engine,
                Position((Location("kernel.py", 1),)), None, queue, number, [], tuple(n * 2 + kind for n in after),
                epoch, meeting, ordered,
            )
        )  # fmt: skip
        return number

    def drain(self, core: int) -> None:
        """The core's engines rest; its next tasks have the next epoch."""
        self.program.drains[core].append(Drain(turns=1))
