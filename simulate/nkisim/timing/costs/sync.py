"""Sequencers: registers and barriers."""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.observe import Event
from nkisim.timing.costs.cost import Cost
from nkisim.timing.span import fixed

_MEMORY = ("register_load", "register_store", "scalar_load", "scalar_store")


def sync_cost(event: Event, machine: Machine) -> Cost:
    """Cost of an instruction that moves no tile."""
    if "barrier" in event.details:
        wait = fixed(machine, "sync.barrier")
    else:
        wait = fixed(machine, "sync.register_load" if event.opcode in _MEMORY else "sync.register_move")
    return Cost(wait, wait)
