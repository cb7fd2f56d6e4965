# SPDX-License-Identifier: Apache-2.0
"""Reports reads of bytes that nothing wrote, once a kernel line."""

from __future__ import annotations

from nkisim.errors import Location, UninitializedRead
from nkisim.memory import Access
from nkisim.observe.event import Event, Finding, Observer


class Uninitialized(Observer):
    """Real memory holds leftovers of earlier work there; a kernel that reads them is right only by luck."""

    def __init__(self) -> None:
        self._seen: set[tuple[Location, Location]] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        found: list[Finding] = []
        for access, element in event.unwritten:
            key = (event.location, access.storage.allocated_at)
            if key not in self._seen:
                self._seen.add(key)
                found.append(Finding(_error(event, access, element)))
        return found


def _error(event: Event, access: Access, element: tuple[int, ...]) -> UninitializedRead:
    return UninitializedRead(
        f"{event.opcode} reads only what was written before",
        f"element {element} of shape {access.shape} in the {access.storage} was never written",
        "Write it first (memset, dma_copy), or read less.",
        event.position.chain,
    )
