# SPDX-License-Identifier: Apache-2.0
"""Storage: what is known of one allocation, without its bytes.

An on-chip allocation is a rectangle of partitions by bytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from nkisim.dtypes import DTYPES, DType
from nkisim.errors import Location
from nkisim.memory.regions import MemoryRegion

_identities = itertools.count()


def next_identity() -> int:
    """A number above the identities of all storages so far and below those of all later ones."""
    return next(_identities)


@dataclass(eq=False)
class Storage:
    """One allocation, without its bytes.

    Attributes:
        buffer: the memory it lives in.
        rows: partitions it spans (1 for HBM).
        row_bytes: bytes a partition (all bytes for HBM).
        pitch: bytes from one partition to the next in the block that holds it.
        base: byte offset of its first byte in that block.
        address: (partition, byte) given by the kernel author, or None.
        core: the core whose memory it is; None for shared HBM.
        allocated_at: the kernel line.
        shape, dtype: of the tensor that was allocated.
    """

    buffer: MemoryRegion
    rows: int
    row_bytes: int
    pitch: int
    base: int
    name: str
    core: int | None
    allocated_at: Location
    address: tuple[int, int] | None = None
    shape: tuple[int, ...] = ()
    dtype: DType = DTYPES["uint8"]
    identity: int = field(default_factory=next_identity)

    @property
    def nbytes(self) -> int:
        return self.rows * self.row_bytes

    def __str__(self) -> str:
        label = f"'{self.name}' " if self.name else ""
        return f"{self.buffer.value} tensor {label}allocated at {self.allocated_at}"
