# SPDX-License-Identifier: Apache-2.0
"""Notes from instructions: nothing is refused, but something is not what it seems."""

from __future__ import annotations

from nkisim.errors import Location, SimulationError
from nkisim.execution.neuron_core import current_core
from nkisim.observe import Note


def is_noted(rule: str, where: Location) -> bool:
    """Whether this core has a note of the rule at the kernel line."""
    return (rule, where) in _noted()


def note(error: SimulationError) -> None:
    """Add `error` to the findings without raising it, once a core, rule and kernel line."""
    if not is_noted(error.rule, error.where):
        _noted().add((error.rule, error.where))
        current_core().watch.add([Note(error)])


def _noted() -> set[tuple[str, Location]]:
    known: set[tuple[str, Location]] = current_core().engine_state.setdefault("noted", set())
    return known
