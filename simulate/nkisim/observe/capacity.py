# SPDX-License-Identifier: Apache-2.0
"""SBUF and PSUM capacity.

A tensor without an address occupies memory from its first to its last use, as a compiler's allocator would have it.
`placement` says where; a PSUM tile lies in one bank, or starts one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nkisim.errors import CapacityError
from nkisim.machine import Machine
from nkisim.memory import MemoryRegion
from nkisim.observe.event import Event, Finding, Observer
from nkisim.observe.placement import HOMELESS, Lifetime, place


@dataclass
class Occupancy:
    """Result for one memory of one core.

    Attributes:
        capacity, peak: bytes a partition (`peak` counts the bytes in use at once, wherever they lie).
        banks: PSUM banks in use at once.
        residents: what was alive at the peak, largest first.
        placed: whether every tensor found room, and the first that did not.
    """

    capacity: int
    peak: int = 0
    banks: int = 0
    residents: list[Lifetime] = field(default_factory=list)
    homeless: Lifetime | None = None


class Capacity(Observer):
    """Meters both on-chip memories of every core.

    Attributes (after `on_finish`):
        occupancy: by (core, memory).
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._lifetimes: dict[tuple[int, int], Lifetime] = {}
        self.occupancy: dict[tuple[int, MemoryRegion], Occupancy] = {}

    def on_instruction(self, event: Event) -> list[Finding]:
        index = event.index
        for access in (*event.reads, *event.writes):
            storage = access.storage
            if storage.buffer.is_on_chip:
                key = (event.core if storage.core is None else storage.core, storage.identity)
                known = self._lifetimes.get(key)
                if known is None:
                    self._lifetimes[key] = Lifetime(storage, index, index)
                else:
                    known.last = index
        return []

    def peak(self, buffer: MemoryRegion) -> int:
        """Highest use of one memory over the cores, in bytes a partition."""
        return max((o.peak for (_, b), o in self.occupancy.items() if b is buffer), default=0)

    def peak_banks(self) -> int:
        """Most PSUM banks in use at once, over the cores."""
        return max((o.banks for o in self.occupancy.values()), default=0)

    def lifetimes(self, core: int, buffer: MemoryRegion) -> list[Lifetime]:
        """The tensors of one memory in the order of first use; placed, after `on_finish`."""
        own = [t for (c, _), t in self._lifetimes.items() if c == core and t.storage.buffer is buffer]
        return sorted(own, key=lambda t: t.first)

    def on_finish(self) -> list[Finding]:
        for core, buffer in sorted({(c, t.storage.buffer) for (c, _), t in self._lifetimes.items()}, key=str):
            self.occupancy[core, buffer] = self._occupy(self.lifetimes(core, buffer), buffer)
        return [Finding(_error(key, o)) for key, o in self.occupancy.items() if o.peak > o.capacity or o.homeless]

    def _occupy(self, lifetimes: list[Lifetime], buffer: MemoryRegion) -> Occupancy:
        bank = self.machine.psum_bank_bytes if buffer is MemoryRegion.psum else 0
        result = Occupancy(bank * self.machine.psum_banks or self.machine.sbuf_usable_bytes)
        place(lifetimes, result.capacity, bank)
        result.homeless = next((t for t in lifetimes if t.byte == HOMELESS), None)
        shares = any(t.storage.address for t in lifetimes)  # all others lie apart while they are alive together
        alive: list[Lifetime] = []
        in_use, fullest = 0, -1
        for number, new in enumerate(lifetimes):
            first = new.first
            if any([t.last < first for t in alive]):
                alive = [t for t in alive if t.last >= first]
                in_use = sum([t.size for t in alive])
            alive.append(new)
            in_use = _bytes_in_use(alive) if shares else in_use + new.size
            if in_use > result.peak:
                result.peak, fullest = in_use, number
            if bank:
                result.banks = max(result.banks, _banks_in_use(alive, bank))
        at_peak = [t for t in lifetimes[: fullest + 1] if t.last >= lifetimes[fullest].first]
        result.residents = sorted(at_peak, key=lambda t: -t.size)
        return result


def _bytes_in_use(alive: list[Lifetime]) -> int:
    """Bytes covered; tensors that share an explicit address count once."""
    total, end = sum(t.size for t in alive if t.byte < 0), 0
    for t in sorted((t for t in alive if t.byte >= 0), key=lambda t: t.byte):
        total += max(0, t.byte + t.size - max(end, t.byte))
        end = max(end, t.byte + t.size)
    return total


def _banks_in_use(alive: list[Lifetime], bank: int) -> int:
    placed = [range(t.byte // bank, -(-(t.byte + t.size) // bank)) for t in alive if t.byte >= 0]
    return len({number for banks in placed for number in banks})


def _error(key: tuple[int, MemoryRegion], o: Occupancy) -> CapacityError:
    core, buffer = key
    top = "; ".join(f"{t.size} B {t.storage}" for t in o.residents[:10])
    needed = f"{o.peak} bytes a partition alive at once" if o.peak > o.capacity else "no free gap"
    blamed = o.homeless.storage if o.homeless else o.residents[0].storage
    return CapacityError(
        f"the {buffer.value} of core {core} holds {o.capacity} bytes a partition",
        f"{needed} when the {blamed} is first used; largest residents: {top}",
        "Use smaller tiles, fewer buffers, or finish with a tensor before starting the next.",
        blamed.allocated_at,
    )
