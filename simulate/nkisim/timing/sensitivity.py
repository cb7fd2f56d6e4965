# SPDX-License-Identifier: Apache-2.0
"""Which open constants a prediction hangs on: the same program with one of them at the ends of its range at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nkisim.machine import Machine
from nkisim.timing.clock import Order, placed
from nkisim.timing.program import Program
from nkisim.timing.schedule import latency_ns
from nkisim.timing.task import Stream

_NOT_A_DURATION = ("order", "peak")


@dataclass(frozen=True)
class Leverage:
    """What one open question moves.

    Attributes:
        name: of the constant, or "order".
        fast_ns, slow_ns: the latency at either end of its range.
    """

    name: str
    fast_ns: float
    slow_ns: float

    @property
    def ns(self) -> float:
        """How much it moves."""
        return abs(self.slow_ns - self.fast_ns)


def sensitivity(program: Program, machine: Machine) -> list[Leverage]:
    """Every open constant and the order, the largest leverage first; what moves nothing is left out."""
    order = placed(program, machine, machine["order.look_ahead"])
    found = [*_orders(program, machine, order), *_constants(program, machine, order)]
    return sorted((each for each in found if each.ns), key=lambda each: -each.ns)


def _orders(program: Program, machine: Machine, order: dict[Stream, list[int]]) -> Iterator[Leverage]:
    near, far = machine.quantities["order.look_ahead"].ends
    latency = {n: latency_ns(program, machine, placed(program, machine, int(n))) for n in (near, far)}
    yield Leverage("order.look_ahead", latency[far], latency[near])
    middle, written = latency_ns(program, machine, order), latency_ns(program, machine)
    yield Leverage(f"order: {Order.compiler.value} or {Order.program.value}", middle, written)


def _constants(program: Program, machine: Machine, order: dict[Stream, list[int]]) -> Iterator[Leverage]:
    for key, quantity in machine.quantities.items():
        if quantity.is_open and key.partition(".")[0] not in _NOT_A_DURATION:
            fast, slow = (machine.with_value(key, end.value) for end in (quantity.fast, quantity.slow))
            yield Leverage(key, latency_ns(program, fast, order), latency_ns(program, slow, order))
