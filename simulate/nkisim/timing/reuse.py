"""Where tensors without an address lie in time, and who therefore waits for whom.

A compiler that allocates in program order and wants instructions to overlap gives a new tensor the memory that has been
free for longest. That is modelled by taking the next gap behind the last tensor placed, around and around; where this
fails, by the placement that the capacity check found.
"""

from __future__ import annotations

from nkisim.machine import Machine
from nkisim.memory import MemoryRegion
from nkisim.observe.placement import HOMELESS, Lifetime, place, place_around


def successions(
    lifetimes: dict[object, Lifetime], buffer: MemoryRegion, machine: Machine
) -> list[tuple[object, object]]:
    """Pairs (earlier, later) of tensors of which the later one takes over bytes of the earlier one.

    Args:
        lifetimes: of the tensors of one memory of one core, by a name.
    """
    bank = machine.psum_bank_bytes if buffer is MemoryRegion.psum else 0
    capacity = bank * machine.psum_banks or machine.sbuf_usable_bytes
    order = sorted(lifetimes, key=lambda key: lifetimes[key].first)
    tenants = [lifetimes[key] for key in order]
    place_around(tenants, capacity, bank)
    if any(t.byte == HOMELESS for t in tenants):
        place(tenants, capacity, bank)
    return _handovers(order, tenants)


def _handovers(order: list[object], tenants: list[Lifetime]) -> list[tuple[object, object]]:
    """For each tensor, the last tenants of its bytes before it."""
    ground: list[tuple[int, int, int]] = []
    pairs: list[tuple[object, object]] = []
    for number, new in enumerate(tenants):
        if new.storage.address is not None or new.byte == HOMELESS:
            continue
        low, high = new.byte, new.byte + new.size
        kept: list[tuple[int, int, int]] = []
        for start, end, owner in ground:
            if end <= low or high <= start:
                kept.append((start, end, owner))
                continue
            pairs.append((order[owner], order[number]))
            if start < low:
                kept.append((start, low, owner))
            if high < end:
                kept.append((high, end, owner))
        kept.append((low, high, number))
        ground = kept
    return pairs
