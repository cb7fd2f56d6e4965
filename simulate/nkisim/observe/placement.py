# SPDX-License-Identifier: Apache-2.0
"""Where tensors without an address lie: byte offsets such that no two that are alive together overlap.

First-fit in the order of first use, as a compiler that allocates while it schedules would have it. Where that leaves a
tensor without a gap, all are placed again, largest first, which packs tighter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkisim.memory import Storage

HOMELESS = -1


@dataclass(eq=False)
class Lifetime:
    """When a storage is in use, in program positions of its core, and where it was put."""

    storage: Storage
    first: int
    last: int
    byte: int = -1

    @property
    def size(self) -> int:
        return self.storage.row_bytes


def place(lifetimes: list[Lifetime], capacity: int, bank: int) -> None:
    """Give every lifetime its byte, or HOMELESS. `lifetimes` are in order of first use.

    Args:
        bank: PSUM: a tile lies in one bank of this many bytes, or starts one; 0: no banks.
    """
    fixed = [t for t in lifetimes if t.storage.address]
    for t in fixed:
        t.byte = t.storage.address[1] if t.storage.address else HOMELESS
    _place_in_order_of_use(lifetimes, fixed, capacity, bank)
    if any(t.byte == HOMELESS for t in lifetimes):
        _place_largest_first(lifetimes, fixed, capacity, bank)


def place_around(lifetimes: list[Lifetime], capacity: int, bank: int) -> None:
    """As `place`, but each tensor goes into the first gap behind the one placed before it, around and around.

    Memory is reused as late as possible, so that a tensor's first use waits as little as possible for the last use of
    its predecessor. A tensor that finds no gap is HOMELESS; nothing is placed again.
    """
    fixed = [t for t in lifetimes if t.storage.address]
    for t in fixed:
        t.byte = t.storage.address[1] if t.storage.address else HOMELESS
    alive: list[Lifetime] = []
    hand = 0
    for new in lifetimes:
        alive = [t for t in alive if t.last >= new.first]
        if not new.storage.address:
            others = [*alive, *(t for t in fixed if new.first < t.first <= new.last)]
            new.byte = _first_fit(others, new.size, capacity, bank, hand)
            if new.byte == HOMELESS:
                new.byte = _first_fit(others, new.size, capacity, bank)
            hand = new.byte + new.size if new.byte != HOMELESS else hand
        alive.append(new)


def _place_in_order_of_use(lifetimes: list[Lifetime], fixed: list[Lifetime], capacity: int, bank: int) -> None:
    alive: list[Lifetime] = []
    for new in lifetimes:
        alive = [t for t in alive if t.last >= new.first]
        if not new.storage.address:
            coming = [t for t in fixed if new.first < t.first <= new.last]
            new.byte = _first_fit([*alive, *coming], new.size, capacity, bank)
        alive.append(new)


def _place_largest_first(lifetimes: list[Lifetime], fixed: list[Lifetime], capacity: int, bank: int) -> None:
    order = [*fixed, *sorted((t for t in lifetimes if not t.storage.address), key=lambda t: -t.size)]
    first, last = np.array([t.first for t in order]), np.array([t.last for t in order])
    for i, new in enumerate(order[len(fixed) :], start=len(fixed)):
        together = np.flatnonzero((first[:i] <= new.last) & (last[:i] >= new.first))
        new.byte = _first_fit([order[j] for j in together], new.size, capacity, bank)


def _first_fit(alive: list[Lifetime], size: int, capacity: int, bank: int, hand: int = 0) -> int:
    """Lowest byte from `hand` on with `size` free bytes, or -1. With banks, a tile stays in one or starts at one."""
    at = hand
    for t in sorted((t for t in alive if t.byte >= 0), key=lambda t: t.byte):
        at = _aligned(at, size, bank)
        if at + size <= t.byte:
            break
        at = max(at, t.byte + t.size)
    at = _aligned(at, size, bank)
    return at if at + size <= capacity else -1


def _aligned(at: int, size: int, bank: int) -> int:
    """`at`, moved up to the next bank where the tile would straddle one."""
    if bank and (size > bank or at // bank != (at + size - 1) // bank) and at % bank:
        return (at // bank + 1) * bank
    return at
