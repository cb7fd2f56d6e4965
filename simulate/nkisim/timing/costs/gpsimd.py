"""The GpSimd Engine: a start-up, then one element a lane and cycle."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe import Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.span import cycles


def gpsimd_cost(event: Event, machine: Machine) -> Cost:
    """Cost on the GpSimd Engine: about 150 cycles and N elements."""
    stream = cycles(machine, event.work.elements / machine.number("pool_time.rate"), "pool", "pool_time.rate")
    total = stream.plus(cycles(machine, machine.number("pool_time.overhead"), "pool", "pool_time.overhead"))
    return Cost(total, total)
