# SPDX-License-Identifier: Apache-2.0
"""A matmul result that a new matmul replaces before anything has read it: the work was for nothing, or a group lost
its `accumulate=True`."""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.errors import DeviceRisk, Location, LostResult
from nkisim.memory import Access, MemoryRegion
from nkisim.observe.common_bytes import first_common_byte
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.ignored import Note


@dataclass(slots=True)
class PsumResult:
    """What the latest accumulation group left in a part of PSUM. `read`: something has looked at any of it."""

    access: Access
    location: Location
    read: bool = False


class LostResults(Observer):
    """Follows the results of the PE in PSUM. Reading between two additions of a group is noted and counts.

    The results in one place are disjoint: a new one removes all that it overlaps.
    """

    def __init__(self) -> None:
        self._results: dict[object, dict[object, PsumResult]] = {}
        self._seen: set[tuple[Location, Location]] = set()
        self._noted: set[Location] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        on_pe = event.engine == "tensor"
        adds = False
        found: list[Finding] = []
        for access in event.reads:
            if access.storage.buffer is MemoryRegion.psum:
                adds = adds or on_pe
                for result in self._overlapping(access):
                    if on_pe and result.read:
                        found += self._continued(event, result)
                    result.read = not on_pe
        if adds:
            return found
        for access in event.writes:
            if access.storage.buffer is MemoryRegion.psum:
                found += self._replace(event, access, on_pe)
        return found

    def _continued(self, event: Event, result: PsumResult) -> list[Finding]:
        """A note that a sum goes on after it was read: what starts a new one says `accumulate=False`."""
        if event.location in self._noted:
            return []
        self._noted.add(event.location)
        error = DeviceRisk(
            "a sum in PSUM is complete when another engine reads it",
            f"{event.opcode} adds to what the matmul at {result.location} left in the {result.access.storage}, "
            "after it was read",
            "Start a new sum with accumulate=False, or read it once.",
            event.position.chain,
        )
        return [Note(error)]

    def _replace(self, event: Event, access: Access, on_pe: bool) -> list[Finding]:
        old = self._overlapping(access)
        kept = self._results.setdefault(_place(access), {})
        for result in old:
            del kept[result.access.extent]
        if not on_pe:
            return []
        kept[access.extent] = PsumResult(access, event.location)
        if event.details.get("adds_in_part"):  # to what it overlaps of its own tensor
            old = [r for r in old if r.access.storage is not access.storage]
        lost = [r for r in old if not r.read and (r.location, event.location) not in self._seen]
        self._seen |= {(r.location, event.location) for r in lost}
        return [Finding(_error(event, r)) for r in lost]

    def _overlapping(self, access: Access) -> list[PsumResult]:
        known = self._results.get(_place(access))
        if not known:
            return []
        same = known.get(access.extent)
        if same is not None:
            return [same]
        return [r for r in known.values() if first_common_byte(r.access, access) is not None]


def _place(access: Access) -> object:
    storage = access.storage
    return storage.core if storage.address is not None else (storage.identity,)


def _error(event: Event, result: PsumResult) -> LostResult:
    return LostResult(
        "the result of a matmul is read before another matmul replaces it",
        f"{event.opcode} overwrites what the matmul at {result.location} left in the {result.access.storage}, unread",
        "Read it first, accumulate onto it with accumulate=True, or drop the earlier matmul.",
        event.position.chain,
    )
