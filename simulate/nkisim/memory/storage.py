"""Storage: the bytes of one allocation.

An on-chip allocation is a rectangle of partitions by bytes. Without an address it owns its bytes; with one it is a
window of the core's memory, so overlapping addresses really alias. Fresh memory holds 0xFF bytes, which read as NaN in
every float format and as -1 in integers, or what NKISIM_UNWRITTEN_BYTE says.
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nkisim.dtypes import DTYPES, DType
from nkisim.errors import Location, kernel_location
from nkisim.memory.byte_map import ByteMap
from nkisim.memory.full_precision import values_beside
from nkisim.memory.regions import MemoryRegion
from nkisim.memory.shadow import NEVER, NOT_COMPUTED, WRITTEN, Shadow

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
UNWRITTEN = "NKISIM_UNWRITTEN_BYTE"
_identities = itertools.count()


def next_identity() -> int:
    """A number above the identities of all storages so far and below those of all later ones."""
    return next(_identities)


def _unwritten_byte() -> int:
    return int(os.environ.get(UNWRITTEN, "0xFF"), 0)


@dataclass(eq=False)
class Block:
    """A run of host memory and its shadow. `pitch` is the distance between partitions in bytes.

    Fresh memory is poisoned only when something reads what was never written: few kernels do.

    Attributes:
        writers: the identity of the storage that wrote each byte last, where several may share it and a matmul has to
            know which of them did (PSUM); else None.
        unrounded: values before rounding, where NKI_PRECISE_FP=0 asks for them (`memory/full_precision.py`).
    """

    data: Bytes
    pitch: int
    shadow: Shadow
    writers: ByteMap | None = None
    unrounded: np.ndarray[Any, Any] | None = None

    @classmethod
    def fresh(cls, rows: int, pitch: int) -> Block:
        nbytes = rows * pitch
        return cls(np.empty(nbytes, np.uint8), pitch, Shadow(nbytes, NEVER), unrounded=values_beside(nbytes))

    def keep_writers(self) -> Block:
        """This block, which from now on knows who wrote each byte."""
        self.writers = ByteMap(self.data.size, np.int32, -1)
        return self

    @property
    def is_outline(self) -> bool:
        """Whether there are no bytes behind it."""
        return self.data.size < self.shadow.nbytes

    def poison(self) -> None:
        """Give every byte that was never written its defined value."""
        if self.shadow.uniform == NEVER:
            self.data.fill(_unwritten_byte())
        elif self.shadow.uniform is None:
            self.data[self.shadow.by_byte() == NEVER] = _unwritten_byte()


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


def allocate(
    shape: tuple[int, ...],
    dtype: DType,
    buffer: MemoryRegion,
    name: str,
    core: int | None,
    arena: Block | None,
    address: tuple[int, int] | None,
) -> tuple[Storage, Block]:
    """A fresh allocation and its bytes. With `address`, a window of `arena`, the core's whole memory."""
    rows = shape[0] if buffer.is_on_chip else 1
    row_bytes = math.prod(shape[1:] if buffer.is_on_chip else shape) * dtype.itemsize
    owner = None if buffer is MemoryRegion.shared_hbm else core
    if address is None:
        block, base = Block.fresh(rows, row_bytes), 0
    else:
        assert arena is not None
        block, base = arena, address[0] * arena.pitch + address[1]
    location = kernel_location()
    return Storage(buffer, rows, row_bytes, block.pitch, base, name, owner, location, address, shape, dtype), block


def wrap_host_array(array: np.ndarray[Any, Any], dtype: DType, name: str, core: int | None) -> tuple[Storage, Block]:
    """HBM storage over the bytes of a C-contiguous host array, without a copy. Everything counts as written.

    Args:
        dtype: of the elements.
        core: None for shared HBM, else the core that alone sees it.
    """
    data = array.reshape(-1).view(np.uint8)
    block = Block(data, data.size, Shadow(data.size, WRITTEN), unrounded=values_beside(data.size))
    return _host_storage(array, dtype, name, core, block)


def outline_host_array(array: np.ndarray[Any, Any], dtype: DType, name: str, core: int | None) -> tuple[Storage, Block]:
    """HBM storage of the size of a host array, whose values nobody will ask for. It may repeat one element."""
    nothing = np.empty(1, np.uint8)  # of an empty buffer NumPy does not check the bounds
    block = Block(nothing, array.nbytes, Shadow(array.nbytes, NOT_COMPUTED))
    return _host_storage(array, dtype, name, core, block)


def _host_storage(
    array: np.ndarray[Any, Any], dtype: DType, name: str, core: int | None, block: Block
) -> tuple[Storage, Block]:
    buffer, size = MemoryRegion.shared_hbm if core is None else MemoryRegion.private_hbm, block.pitch
    location = kernel_location()
    return Storage(buffer, 1, size, size, 0, name, core, location, shape=array.shape, dtype=dtype), block
