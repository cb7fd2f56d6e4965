# SPDX-License-Identifier: Apache-2.0
"""Sequencers: registers and barriers."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe import CostClass, Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.duration import fixed

_WAITS = {
    CostClass.barrier: "sync.barrier",
    CostClass.register_memory: "sync.register_load",
    CostClass.register: "sync.register_move",
}
SYNC_WORK = tuple(_WAITS)
"""What `sync_cost` is a formula of."""


def sync_cost(event: Event, machine: Machine) -> Cost:
    """Cost of an instruction that moves no tile."""
    wait = fixed(machine, _WAITS[event.traits.cost])
    return Cost(wait, wait)
