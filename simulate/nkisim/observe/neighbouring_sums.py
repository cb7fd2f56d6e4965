# SPDX-License-Identifier: Apache-2.0
"""Sums of several matmuls that share a bank of one PSUM tensor.

On NeuronCore-v2 all but the last of such sums were seen to lose their first term, whether their matmuls alternate or
follow each other. AWS's own kernels for later cores do it, so it is a note. Sums that start in different partitions are
those of tiles of the PE, which are documented.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.errors import Location, NeighbouringSum
from nkisim.memory import Access, MemoryRegion, Storage
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.ignored import Note


@dataclass(slots=True)
class Sums:
    """What matmuls have left in one PSUM tensor since another engine read it.

    Attributes:
        terms: matmuls in each part so far.
        banks: by first partition and bank, the part in which a second matmul added to a first one.
    """

    terms: dict[object, int] = field(default_factory=dict)
    banks: dict[tuple[int, int], object] = field(default_factory=dict)


class NeighbouringSums(Observer):
    """Notes the second sum in a bank, once a kernel line. A matmul that overwrites is no sum."""

    def __init__(self, bank_bytes: int) -> None:
        self._bank_bytes = bank_bytes
        self._sums: dict[Storage, Sums] = {}
        self._seen: set[Location] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        if event.engine != "tensor":
            for access in event.reads:
                if access.storage.buffer is MemoryRegion.psum:
                    self._sums.pop(access.storage, None)
            return []
        found: list[Finding] = []
        for access in event.writes:
            adds = any(read.storage is access.storage for read in event.reads)
            if self._is_neighbour(access, adds) and event.location not in self._seen:
                self._seen.add(event.location)
                found.append(Note(_risk(event, access)))
        return found

    def _is_neighbour(self, access: Access, adds: bool) -> bool:
        """Whether this matmul makes a sum of a part, in a bank where its tensor has a sum in another part."""
        sums = self._sums.setdefault(access.storage, Sums())
        part = access.extent
        sums.terms[part] = sums.terms.get(part, 0) + 1 if adds else 1
        return sums.terms[part] == 2 and sums.banks.setdefault(self._bank(access), part) != part

    def _bank(self, access: Access) -> tuple[int, int]:
        partition, byte = divmod(access.start, access.storage.pitch)
        return partition, byte // self._bank_bytes


def _risk(event: Event, access: Access) -> NeighbouringSum:
    return NeighbouringSum(
        "the sums of several matmuls in one PSUM tensor have a bank each: others lost their first terms",
        f"{event.opcode} adds up a second one in a bank of the {access.storage}",
        "Give each sum a tensor, or make one matmul of it.",
        event.position.chain,
    )
