"""Where tensors without an address lie in time, and who therefore waits for whom.

A compiler that allocates in program order and wants instructions to overlap gives a new tensor the memory that has been
free for longest. That is modelled by taking the next gap behind the last tensor placed, around and around; where this
fails, by the placement that the capacity check found.

What the body of a device loop allocates has one place in all iterations: the first iteration says how long it is used,
and whoever comes first on some bytes follows, in the next iteration, whoever was there last in the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nkisim.machine import Machine
from nkisim.memory import MemoryRegion
from nkisim.observe.placement import HOMELESS, Lifetime, place, place_around


class Succession(NamedTuple):
    """A tensor that takes over bytes of an earlier one; the earlier one of the iteration before, if it `wraps`."""

    earlier: object
    later: object
    wraps: bool


def successions(
    lifetimes: Mapping[object, Lifetime], loops: Mapping[object, object], buffer: MemoryRegion, machine: Machine
) -> list[Succession]:
    """Who takes over bytes of whom.

    Args:
        lifetimes: of the tensors of one memory of one core, by a name; in a loop, of its first iteration.
        loops: the loop whose body allocates a tensor, by the same names.
    """
    bank = machine.psum_bank_bytes if buffer is MemoryRegion.psum else 0
    capacity = bank * machine.psum_banks or machine.sbuf_usable_bytes
    order = sorted(lifetimes, key=lambda key: lifetimes[key].first)
    tenants = [lifetimes[key] for key in order]
    place_around(tenants, capacity, bank)
    if any(t.byte == HOMELESS for t in tenants):
        place(tenants, capacity, bank)
    ground = _Ground()
    found: list[Succession] = []
    for number, wraps in _turns([loops.get(key) for key in order]):
        new, later = tenants[number], order[number]
        if new.byte == HOMELESS:
            found += [Succession(later, later, True)] if wraps else []
        elif new.storage.address is None:
            for before in ground.take(number, new.byte, new.byte + new.size):
                if not wraps or loops.get(order[before]) == loops[later]:
                    found.append(Succession(order[before], later, wraps))
    return found


def _turns(loops: list[object]) -> Iterator[tuple[int, bool]]:
    """All numbers in order, and those of a loop once more behind its last one: (number, whether once more)."""
    members: dict[object, list[int]] = {}
    for number, loop in enumerate(loops):
        if loop is not None:
            members.setdefault(loop, []).append(number)
    for number, loop in enumerate(loops):
        yield number, False
        if loop is not None and members[loop][-1] == number:
            yield from ((again, True) for again in members[loop])


class _Ground:
    """Which tensor had which bytes last."""

    def __init__(self) -> None:
        self._owners: list[tuple[int, int, int]] = []

    def take(self, number: int, low: int, high: int) -> list[int]:
        """Tensor `number` takes bytes; returns who had any of them."""
        kept: list[tuple[int, int, int]] = []
        before: list[int] = []
        for start, end, owner in self._owners:
            if end <= low or high <= start:
                kept.append((start, end, owner))
                continue
            before.append(owner)
            if start < low:
                kept.append((start, low, owner))
            if high < end:
                kept.append((high, end, owner))
        kept.append((low, high, number))
        self._owners = kept
        return before
