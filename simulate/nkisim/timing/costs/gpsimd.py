# SPDX-License-Identifier: Apache-2.0
"""The GpSimd Engine: a start-up, then one element a lane and cycle."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.duration import cycles, fixed

GPSIMD_WORK = (
    CostClass.copy, CostClass.fill, CostClass.pattern, CostClass.elementwise, CostClass.two_input_elementwise,
    CostClass.partition_reduction, CostClass.selection, CostClass.search, CostClass.compaction, CostClass.gather,
    CostClass.random, CostClass.generator_state,
)  # fmt: skip
"""What `gpsimd_cost` is a formula of."""


def gpsimd_cost(event: Event, machine: Machine) -> Cost:
    """Cost on the GpSimd Engine: a start of some cycles and N elements; a fixed time for compaction, a library call."""
    if event.traits.cost is CostClass.compaction:
        call = fixed(machine, "pool_time.compaction")
        return Cost(call, call)
    start = "pool_time.overhead_fill" if event.traits.cost is CostClass.fill else "pool_time.overhead"
    stream = cycles(machine, event.work.elements / machine.number("pool_time.rate"), "pool", "pool_time.rate")
    total = stream.plus(cycles(machine, machine.number(start), "pool", start))
    return Cost(total, total)
