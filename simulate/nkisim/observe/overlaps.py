# SPDX-License-Identifier: Apache-2.0
"""Tensors whose explicit addresses overlap, used as if each had its bytes for itself.

Reusing memory is what addresses are for: a new tensor is written, and the old one is never read again. The rule, byte
by byte: a tensor that has been written reads only what was last written through itself. It breaks where a tensor is
read after a later one took its place, and where a new tensor reads what an earlier one left there. A tensor that
nothing has written yet is another view of what lies at its address, and may be read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nkisim.errors import Location, OverlapError
from nkisim.machine import Machine
from nkisim.memory import Access, MemoryRegion, Storage
from nkisim.memory.byte_map import ByteMap
from nkisim.observe.event import Event, Finding, Observer


class Writer(NamedTuple):
    """The latest write through a tensor."""

    storage: Storage
    opcode: str
    location: Location


class Overlaps(Observer):
    """Remembers through which tensor each byte of SBUF and PSUM was last written. Costs nothing without addresses."""

    def __init__(self, machine: Machine) -> None:
        self._partitions = machine.partitions
        self._owners: dict[tuple[int | None, MemoryRegion], ByteMap] = {}
        self._writers: dict[int, Writer] = {}
        self._seen: set[tuple[Location, Location]] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        found = []
        for access in event.reads:
            if access.storage.address is not None and access.storage.identity + 1 in self._writers:
                found += self._read(event, access)
        for access in event.writes:
            if access.storage.address is not None and access.size:
                number = access.storage.identity + 1
                self._owner(access).put(access, number)
                self._writers[number] = Writer(access.storage, event.opcode, event.location)
        return found

    def _owner(self, access: Access) -> ByteMap:
        key = (access.storage.core, access.storage.buffer)
        if key not in self._owners:
            self._owners[key] = ByteMap(self._partitions * access.storage.pitch, np.int32)
        return self._owners[key]

    def _read(self, event: Event, access: Access) -> list[Finding]:
        owners = self._owner(access).get(access)
        foreign = (owners != access.storage.identity + 1) & (owners != 0)
        key = (event.location, access.storage.allocated_at)
        if not foreign.any() or key in self._seen:
            return []
        self._seen.add(key)
        return [Finding(_error(event, access.storage, self._writers[int(owners[foreign][0])]))]


def _error(event: Event, read: Storage, writer: Writer) -> OverlapError:
    return OverlapError(
        "a tensor with an address is read only where it was itself the last one written",
        f"{event.opcode} reads the {read} {read.address}, where {writer.opcode} at {writer.location} wrote through "
        f"the {writer.storage} {writer.storage.address}",
        "Move one of them, or finish with the older before the newer is written, and write all that is read.",
        event.position.chain,
    )
