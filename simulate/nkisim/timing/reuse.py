# SPDX-License-Identifier: Apache-2.0
"""Where tensors without an address lie in time, and who therefore waits for whom.

A compiler that allocates in program order and wants instructions to overlap gives a new tensor the memory that has been
free for longest. That is modelled by taking the next gap behind the last tensor placed, around and around; where this
fails, by the placement that the capacity check found.

What the body of a device loop allocates has one place in all iterations: the first iteration says how long it is used.
"""

from __future__ import annotations

from collections.abc import Mapping

from nkisim.machine import Machine
from nkisim.memory import MemoryRegion
from nkisim.observe.placement import HOMELESS, Lifetime, place, place_around


def successions(
    lifetimes: Mapping[object, Lifetime], buffer: MemoryRegion, machine: Machine
) -> list[tuple[object, object]]:
    """Who takes over bytes of whom: (earlier, later).

    Args:
        lifetimes: of the tensors of one memory of one core, by a name; in a loop, of its first iteration.
    """
    bank = machine.psum_bank_bytes if buffer is MemoryRegion.psum else 0
    capacity = bank * machine.psum_banks or machine.sbuf_usable_bytes
    order = sorted(lifetimes, key=lambda key: lifetimes[key].first)
    tenants = [lifetimes[key] for key in order]
    place_around(tenants, capacity, bank)
    if any(t.byte == HOMELESS for t in tenants):
        place(tenants, capacity, bank)
    ground = _Ground()
    found: list[tuple[object, object]] = []
    for number, new in enumerate(tenants):
        if new.byte != HOMELESS and new.storage.address is None:
            found += [(order[before], order[number]) for before in ground.take(number, new.byte, new.byte + new.size)]
    return found


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
