# SPDX-License-Identifier: Apache-2.0
"""The Scalar Engine: one element a lane and cycle, behind a table that must be loaded when the function changes."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.duration import cycles, fixed

# Polynomials of degree one or two, and comparisons: assumed to be in every table, so that they never reload one.
IN_EVERY_TABLE = frozenset({"copy", "relu", "square", "abs", "sign"})
_PLAIN = (CostClass.copy, CostClass.elementwise)

SCALAR_WORK = (*_PLAIN, CostClass.activation, CostClass.activation_reduction)
"""What `scalar_cost` is a formula of."""


def scalar_cost(event: Event, machine: Machine) -> Cost:
    """Cost on the Scalar Engine.

    Busy for N cycles and a fixed part, the result a fixed time later than N cycles; both are shorter for copies than
    for functions of a table. Summing costs one more small instruction that reads the registers.
    """
    short = all(t.dtype.itemsize == 2 for t in (*event.reads[:1], *event.writes[:1]))
    plain = event.traits.cost in _PLAIN
    rate = "act_time.rate_16" if short and plain else "act_time.rate"
    stream = cycles(machine, event.work.elements / machine.number(rate), "act", rate)
    function = event.details.get("op") if not plain else None
    table = None if function in IN_EVERY_TABLE else function
    overhead, result = ("overhead", "result_copy") if table is None else ("overhead_function", "result")
    busy = stream.plus(cycles(machine, machine.number(f"act_time.{overhead}"), "act", f"act_time.{overhead}"))
    latency = stream.plus(fixed(machine, f"act_time.{result}"))
    if event.traits.cost is CostClass.activation_reduction or len(event.writes) > 1:
        readout = cycles(machine, machine.number("act_time.reduce_readout"), "act", "act_time.reduce_readout")
        busy, latency = busy.plus(readout), latency.plus(readout)
    return Cost(busy, latency, table=table)
