# SPDX-License-Identifier: Apache-2.0
"""Instructions that write what they read, at another place: engines stream, so they may read what they have written.

nkisim reads everything first. Whether a device comes to the same depends on the direction and on what is in flight.
"""

from __future__ import annotations

from nkisim.errors import DeviceRisk, Location
from nkisim.memory import Access
from nkisim.memory.footprint import footprint
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.ignored import Note


class ShiftedOverlaps(Observer):
    """Notes them, once a kernel line. An operand of another size is loaded before, or reduced, and is none."""

    def __init__(self) -> None:
        self._seen: set[Location] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        for written in event.writes:
            for read in event.reads:
                if read.storage is written.storage and _shifted(read, written) and event.location not in self._seen:
                    self._seen.add(event.location)
                    return [Note(_risk(event, written))]
        return []


def _shifted(read: Access, written: Access) -> bool:
    """Whether elements of equally many are read and written at places that overlap and differ."""
    if read.extent == written.extent:
        return False
    if read.size != written.size or first_common_byte(read, written) is None:
        return False
    return footprint(read) != footprint(written) or _order(read) != _order(written)


def _order(access: Access) -> list[tuple[int, int]]:
    """(stride, count) from the outermost dimension in, neighbours that one stride describes as one."""
    dims: list[tuple[int, int]] = []
    for stride, count in zip(access.strides, access.shape, strict=True):
        if count > 1 and dims and dims[-1][0] == stride * count:
            dims[-1] = stride, dims[-1][1] * count
        elif count > 1:
            dims.append((stride, count))
    return dims


def _risk(event: Event, written: Access) -> DeviceRisk:
    return DeviceRisk(
        "an instruction reads all of its operands elsewhere than it writes, or at the same place",
        f"{event.opcode} writes a shifted part of what it reads, in the {written.storage}",
        "Write to another tensor.",
        event.position.chain,
    )
