"""Small kernels timed, and the constants that hand-worked times are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nkisim
from nkisim.machine import load_machine
from nkisim.timing import Timeline, Timer

TRN2 = load_machine("trn2")


def ns(key: str) -> float:
    """A duration of the machine file, in nanoseconds."""
    return TRN2.number(key)


def cycles(count: float, clock: str) -> float:
    """Nanoseconds of `count` cycles of a clock."""
    return count / TRN2.number(f"clock.{clock}")


def vector_busy(elements: float, rate: float = 1) -> float:
    """How long the Vector Engine is busy with that many elements a lane."""
    return cycles(elements / rate + ns("dve_time.overhead"), "dve")


def vector_latency(elements: float, rate: float = 1) -> float:
    """From its start until others can use its result."""
    return cycles(elements / rate, "dve") + ns("dve_time.result")


def timed(body: Callable[..., Any], *args: Any, cores: int = 1) -> Timeline:
    """When everything in `body(*args)` happens on a Trn2."""

    def kernel(*tensors: Any) -> Any:
        return body(*tensors)

    timer = Timer(TRN2)
    nkisim.Simulator("trn2", cores, observers=[timer]).run(kernel, *args)
    return timer.timeline()


def numbers(timeline: Timeline, opcode: str, core: int = 0) -> list[int]:
    """The tasks of one opcode on a core, in program order."""
    return [task.number for task in timeline.tasks if task.opcode == opcode and task.core == core]
