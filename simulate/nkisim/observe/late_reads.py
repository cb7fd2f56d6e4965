# SPDX-License-Identifier: Apache-2.0
"""Transfers that may still be reading when another tensor at the address of their source is written.

A compiler makes an instruction wait for a transfer if it writes what the transfer reads through the same tensor, or if
it touches what the transfer writes. It does not see two tensors that overlap by their addresses.
"""

from __future__ import annotations

from typing import NamedTuple

from nkisim.errors import DmaOrderError, Location
from nkisim.memory import Access
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer


class OpenTransfer(NamedTuple):
    """A transfer that nothing has waited for yet."""

    source: Access
    written: tuple[Access, ...]
    location: Location


class LateReads(Observer):
    """Follows transfers out of tensors with addresses; costs nothing without any."""

    def __init__(self) -> None:
        self._open: dict[int, list[OpenTransfer]] = {}
        self._seen: set[tuple[Location, Location]] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        found: list[Finding] = []
        waiting = self._open.get(event.core)
        if waiting:
            still = [transfer for transfer in waiting if not _waits(event, transfer)]
            self._open[event.core] = still
            found = [Finding(_error(event, t)) for t in still if self._is_overtaken(event, t)]
        if event.engine == "dma":
            sources = [access for access in event.reads if access.storage.address is not None]
            transfers = [OpenTransfer(source, event.writes, event.location) for source in sources]
            self._open.setdefault(event.core, []).extend(transfers)
        return found

    def _is_overtaken(self, event: Event, transfer: OpenTransfer) -> bool:
        """Whether the event writes, through another tensor, what the transfer reads; once for two kernel lines."""
        lines = event.location, transfer.location
        if lines in self._seen or not any(_overlap(access, transfer.source) for access in event.writes):
            return False
        self._seen.add(lines)
        return True


def _waits(event: Event, transfer: OpenTransfer) -> bool:
    """Whether the event is known to depend on the transfer."""
    pairs = [(access, transfer.source) for access in event.writes]
    pairs += [(access, written) for access in (*event.reads, *event.writes) for written in transfer.written]
    return any(a.storage is b.storage and first_common_byte(a, b) is not None for a, b in pairs)


def _overlap(a: Access, b: Access) -> bool:
    """Whether two tensors share bytes by their addresses."""
    one, other = a.storage, b.storage
    if one.address is None or (one.core, one.buffer) != (other.core, other.buffer):
        return False
    return first_common_byte(a, b) is not None


def _error(event: Event, transfer: OpenTransfer) -> DmaOrderError:
    return DmaOrderError(
        "nothing is written where a transfer may still be reading",
        f"{event.opcode} writes the {event.writes[0].storage} while the transfer at {transfer.location} may be reading "
        f"the {transfer.source.storage} at its address, and nothing waits for that",
        "Use one tensor, or read what the transfer wrote first.",
        event.position.chain,
    )
