"""Small kernels timed, and the constants that hand-worked times are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nkisim
from nkisim.machine import Machine, load_machine
from nkisim.timing import Order, Timeline, Timer, timeline
from nkisim.timing.program import Program

TRN2 = load_machine("trn2")


def ns(key: str) -> float:
    """A duration of the machine file, in nanoseconds."""
    return TRN2.number(key)


def cycles(count: float, clock: str) -> float:
    """Nanoseconds of `count` cycles of a clock."""
    return count / TRN2.number(f"clock.{clock}")


def vector_busy(elements: float, rate: float = 1, overhead: str = "overhead") -> float:
    """How long the Vector Engine is busy with that many elements a lane."""
    return cycles(elements / rate + ns(f"dve_time.{overhead}"), "dve")


def vector_latency(elements: float, rate: float = 1) -> float:
    """From its start until others can use its result."""
    return cycles(elements / rate, "dve") + ns("dve_time.result")


def scalar_busy(elements: float, overhead: str) -> float:
    """How long the Scalar Engine is busy."""
    return cycles(elements / ns("act_time.rate") + ns(f"act_time.{overhead}"), "act")


def pool_busy(elements: float, overhead: str = "overhead") -> float:
    """How long the GpSimd Engine is busy; its results are there at once."""
    return cycles(elements / ns("pool_time.rate") + ns(f"pool_time.{overhead}"), "pool")


def traced(body: Callable[..., Any], *args: Any, cores: int = 1) -> Program:
    """What `body(*args)` does on a Trn2, as far as its time depends on it."""

    def kernel(*tensors: Any) -> Any:
        return body(*tensors)

    timer = Timer(TRN2)
    nkisim.Simulator("trn2", cores, observers=[timer]).run(kernel, *args)
    return timer.program


def timed(
    body: Callable[..., Any], *args: Any, cores: int = 1, order: Order = Order.program, machine: Machine = TRN2
) -> Timeline:
    """When everything in `body(*args)` happens on a Trn2, or on one with other constants."""
    return timeline(traced(body, *args, cores=cores), machine, order)


def numbers(timeline: Timeline, opcode: str, core: int = 0) -> list[int]:
    """The tasks of one opcode on a core, in program order."""
    return [task.number for task in timeline.tasks if task.opcode == opcode and task.core == core]
