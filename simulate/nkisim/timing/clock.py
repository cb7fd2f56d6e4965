# SPDX-License-Identifier: Apache-2.0
"""The clock: when a program runs, in which order, and between which bounds.

Two orders bracket what happens on a device. In `program` order every engine starts its instructions as the kernel wrote
them. In `compiler` order independent ones have moved, as NKI's documents say they may (`compiler_order`). How far a
compiler looks ahead is a range, like every constant of a machine file that evidence leaves open.

A forecast takes the compiler's order with the middle look-ahead on the machine as it is; its interval spans both
orders, the range of the look-ahead, and the corners of the machine, widened by what these leave unexplained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from nkisim.machine import Machine
from nkisim.timing.compiler_order import compiler_order
from nkisim.timing.program import Program
from nkisim.timing.schedule import latency_ns, schedule
from nkisim.timing.task import Stream
from nkisim.timing.timeline import Timeline

CLOCK = "2.4"
"""Version of the rules of the time model; machine files have their own history."""

CORNERS = {
    "engines": ("pe_time", "dve_time", "dve_rate", "dve_cycles", "act_time", "pool_time"),
    "memory": ("dma", "hbm"),
    "control": ("sync",),
}
"""Sections of the machine file whose constants are taken to the ends of their ranges together. All at once would leave
intervals that say nothing: published latencies do not need them."""


_Case = tuple[str, Machine, "Mapping[Stream, list[int]] | None"]


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
    return compiler_order(program, machine, look_ahead)


@dataclass(frozen=True)
class Forecast:
    """Latencies of one program, all predicted, in ns.

    Attributes:
        by_order: in `program` order, and in the compiler's.
        by_look_ahead: in the compiler's order, by how many instructions it looks ahead.
        by_corner: in the compiler's order, with constants of one kind at one end of their ranges.
        unexplained: a factor for what orders and constants leave open.
    """

    by_order: Mapping[str, float]
    by_look_ahead: Mapping[int, float]
    by_corner: Mapping[str, float]
    unexplained: float

    @property
    def nominal(self) -> float:
        """What is taken: the compiler's order, with the middle look-ahead."""
        return self.by_order[Order.compiler.value]

    @property
    def interval(self) -> tuple[float, float]:
        """Between what the latency may lie."""
        found = (*self.by_order.values(), *self.by_look_ahead.values(), *self.by_corner.values())
        return min(found) / self.unexplained, max(found) * self.unexplained


def schedules(program: Program, machine: Machine, nominal: Timeline | None = None) -> Iterator[tuple[str, Timeline]]:
    """The timelines between which the truth should lie, with names; the first one is what is taken.

    Args:
        nominal: that one, where it is known already.
    """
    taken = nominal or timeline(program, machine)
    yield _ahead(machine["order.look_ahead"]), taken
    for name, of, order in _others(program, machine, taken):
        yield name, schedule(program, of, order)


def _others(program: Program, machine: Machine, taken: Timeline) -> Iterator[_Case]:
    """What else may be true: a name, the machine, and the order, None for the one of the program."""
    for distance in machine.quantities["order.look_ahead"].ends:
        yield _ahead(int(distance)), machine, placed(program, machine, int(distance))
    yield Order.program.value, machine, None
    for name, sections in CORNERS.items():
        yield f"fast {name}", machine.fastest(sections), taken.order
        yield f"slow {name}", machine.slowest(sections), taken.order


def forecast(program: Program, machine: Machine, nominal: Timeline | None = None) -> Forecast:
    """The latency of `program`, in both orders and at the corners of the machine; `nominal` as in `schedules`."""
    taken = nominal or timeline(program, machine)
    latency = {_ahead(machine["order.look_ahead"]): taken.latency_ns}
    latency.update((name, latency_ns(program, of, order)) for name, of, order in _others(program, machine, taken))
    look_ahead = machine.quantities["order.look_ahead"]
    near, far = look_ahead.ends
    written = latency.pop(Order.program.value)
    compiled = {int(n): latency.pop(_ahead(int(n))) for n in sorted({near, look_ahead.value, far})}
    return Forecast(
        {Order.program.value: written, Order.compiler.value: compiled[int(look_ahead.value)]},
        compiled, latency, machine.number("order.unexplained"),
    )  # fmt: skip


def _ahead(distance: int) -> str:
    return f"{Order.compiler.value}, {distance} ahead"
