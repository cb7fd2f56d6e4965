# SPDX-License-Identifier: Apache-2.0
"""Arguments that have no effect.

`HINTS` is the whole list of what nkisim accepts and does not act on. An argument that is not in it changes results,
events or what is refused; a test compares the list with the signatures.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.errors import Location, NoEffect
from nkisim.observe.event import Event, Finding, Observer

_WHO = "Chooses who does the work, never what comes out: it is checked, recorded in the event, and left to time."

HINTS = {
    "name": "A label for people, of one thing in a kernel. Kept in the event.",
    **dict.fromkeys(("engine", "dge_mode", "dma_engine"), _WHO),
    "priority": "Orders DMA transfers that compete. Range and target are checked; transfers here never compete.",
    "is_stationary_onezero": "Promises a 0/1 matrix, for speed. The product is computed from the real values.",
    "is_moving_onezero": "Promises a 0/1 matrix, for speed. The product is computed from the real values.",
    "unique_indices": "Promises unique rows. Only True is legal, and DuplicateRows looks whether it is so.",
    "keepdims": "Writes the shape of dst with or without ones. The values and their order are the same.",
    "cores": "The cores of a barrier. Only (0, 1) is legal.",
}


@dataclass(frozen=True)
class Note(Finding):
    """A finding that never stops a run: nothing is wrong, but something is not what it seems."""


class IgnoredArguments(Observer):
    """Notes arguments that do nothing where they stand, once a kernel line."""

    def __init__(self) -> None:
        self._seen: set[Location] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        asked = event.details.get("onezero") or event.details.get("without_effect")
        if not asked or event.location in self._seen:
            return []
        self._seen.add(event.location)
        if asked == "oob_mode.skip":
            return [Note(_static(event))]
        operands = [str(access.dtype) for access in event.reads[:2]]
        if "float32" in operands:
            return []
        error = NoEffect(
            "is_stationary_onezero and is_moving_onezero speed up fp32 operands only",
            f"set in a {event.opcode} of {' and '.join(operands)}",
            "Drop the argument.",
            event.position.chain,
        )
        return [Note(error)]


def _static(event: Event) -> NoEffect:
    return NoEffect(
        "oob_mode.skip skips accesses whose runtime index is out of bounds",
        f"set in a {event.opcode} with static addresses",
        "Drop the argument.",
        event.position.chain,
    )
