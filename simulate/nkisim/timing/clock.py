"""The clock: when a program runs, in which order, and between which bounds.

Two orders bracket what happens on a device. In `program` order every engine starts its instructions as the kernel wrote
them. In `compiler` order independent ones have moved, as NKI's documents say they may (`compiler_order`). How far a
compiler looks ahead is a range, like every constant of a machine file that evidence leaves open.

A forecast takes the compiler's order with the middle look-ahead on the machine as it is; its interval spans both
orders, the range of the look-ahead, and the two corners of the machine, widened by what these leave unexplained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from nkisim.machine import Machine
from nkisim.timing.compiler_order import compiler_order
from nkisim.timing.program import Program
from nkisim.timing.schedule import schedule
from nkisim.timing.task import Stream
from nkisim.timing.timeline import Timeline

CLOCK = "2.0"
"""Version of the rules of the time model; machine files have their own history."""


class Order(Enum):
    """In which order engines start their instructions."""

    program = "program"
    compiler = "compiler"


def timeline(program: Program, machine: Machine, order: Order = Order.compiler) -> Timeline:
    """When everything happens."""
    if order is Order.program:
        return schedule(program, machine)
    return schedule(program, machine, placed(program, machine, machine["order.look_ahead"]))


def placed(program: Program, machine: Machine, look_ahead: int) -> dict[Stream, list[int]]:
    """The compiler's order."""
    return compiler_order(program.tasks, program.works.costs(machine), machine, look_ahead)


@dataclass(frozen=True)
class Forecast:
    """Latencies of one program, all predicted, in ns.

    Attributes:
        by_order: in `program` order, and in the compiler's.
        by_look_ahead: in the compiler's order, by how many instructions it looks ahead.
        fastest, slowest: in the compiler's order, with all constants at one end of their ranges.
        unexplained: a factor for what orders and constants leave open.
    """

    by_order: Mapping[str, float]
    by_look_ahead: Mapping[int, float]
    fastest: float
    slowest: float
    unexplained: float

    @property
    def nominal(self) -> float:
        """What is taken: the compiler's order, with the middle look-ahead."""
        return self.by_order[Order.compiler.value]

    @property
    def interval(self) -> tuple[float, float]:
        """Between what the latency may lie."""
        found = (*self.by_order.values(), *self.by_look_ahead.values(), self.fastest, self.slowest)
        return min(found) / self.unexplained, max(found) * self.unexplained


def schedules(program: Program, machine: Machine) -> dict[str, Timeline]:
    """The timelines between which the truth should lie, by name; "nominal" is what is taken."""
    look_ahead = machine.quantities["order.look_ahead"]
    middle, (near, far) = int(look_ahead.value), look_ahead.ends
    order = placed(program, machine, middle)
    return {
        "nominal": schedule(program, machine, order),
        "program": schedule(program, machine),
        "near": schedule(program, machine, placed(program, machine, int(near))),
        "far": schedule(program, machine, placed(program, machine, int(far))),
        "fastest": schedule(program, machine.fastest, order),
        "slowest": schedule(program, machine.slowest, order),
    }


def forecast(program: Program, machine: Machine) -> Forecast:
    """The latency of `program`, in both orders and at the corners of the machine."""
    latency = {name: timeline.latency_ns for name, timeline in schedules(program, machine).items()}
    look_ahead = machine.quantities["order.look_ahead"]
    near, far = look_ahead.ends
    return Forecast(
        {Order.program.value: latency["program"], Order.compiler.value: latency["nominal"]},
        {int(near): latency["near"], int(look_ahead.value): latency["nominal"], int(far): latency["far"]},
        latency["fastest"], latency["slowest"], machine.number("order.unexplained"),
    )  # fmt: skip
