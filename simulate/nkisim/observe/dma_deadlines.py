# SPDX-License-Identifier: Apache-2.0
"""When each DMA transfer has to be complete, seen from its own core.

A compiler makes an instruction wait for a transfer if it can see that it must: the instruction touches the same bytes
of the same tensor, or is a barrier for that tensor. Two tensors that overlap by their addresses, and the other core,
are not seen.
"""

from __future__ import annotations

from typing import NamedTuple

from nkisim.errors import Location
from nkisim.memory import Access, Storage
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer

NEVER = 1 << 62
"""The deadline of a transfer that nothing waits for: the end of the launch."""


class Deadline(NamedTuple):
    """The index of the first instruction of its core that waits for a transfer, and the transfer's kernel line."""

    before: int
    location: Location


def can_be_late(storage: Storage) -> bool:
    """Whether anything could notice: the other core, or a tensor with an overlapping address."""
    return storage.core is None or storage.address is not None


class DmaDeadlines(Observer):
    """Finds the deadline of every transfer whose lateness could be noticed.

    Attributes:
        deadlines: by core and index of the transfer.
    """

    def __init__(self) -> None:
        self.deadlines: dict[tuple[int, int], Deadline] = {}
        self._open: dict[tuple[int, int], list[tuple[int, Access]]] = {}

    def on_instruction(self, event: Event) -> list[Finding]:
        barrier = event.details.get("barrier")
        if barrier is not None:
            self._close(event, barrier, None)
        for access in (*event.reads, *event.writes):
            if can_be_late(access.storage):
                self._close(event, access.storage.identity, access)
        if event.engine == "dma":
            for access in event.writes:
                if can_be_late(access.storage):
                    self.deadlines[event.core, event.index] = Deadline(NEVER, event.location)
                    self._open.setdefault((event.core, access.storage.identity), []).append((event.index, access))
        return []

    def _close(self, event: Event, identity: int, access: Access | None) -> None:
        """`event` waits for the transfers into a tensor; with `access`, for those that overlap it."""
        waiting = self._open.get((event.core, identity), [])
        for entry in list(waiting):
            index, written = entry
            if access is None or first_common_byte(written, access) is not None:
                waiting.remove(entry)
                self.deadlines[event.core, index] = self.deadlines[event.core, index]._replace(before=event.index)
