# SPDX-License-Identifier: Apache-2.0
"""The bytes of allocations.

Without an address an allocation owns its bytes; with one it is a window of the core's memory, so overlapping addresses
really alias. Fresh memory holds 0xFF bytes, which read as NaN in every float format and as -1 in integers, or what
NKISIM_UNWRITTEN_BYTE says.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkisim.dtypes import Array, DType
from nkisim.errors import kernel_location
from nkisim.memory.byte_map import ByteMap
from nkisim.memory.full_precision import values_beside
from nkisim.memory.regions import MemoryRegion
from nkisim.memory.shadow import NEVER, NOT_COMPUTED, WRITTEN, Shadow
from nkisim.memory.storage import Storage

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
UNWRITTEN = "NKISIM_UNWRITTEN_BYTE"


def _unwritten_byte() -> int:
    return int(os.environ.get(UNWRITTEN, "0xFF"), 0)


@dataclass(eq=False)
class MemoryBlock:
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
    unrounded: Array | None = None

    @classmethod
    def fresh(cls, rows: int, pitch: int) -> MemoryBlock:
        nbytes = rows * pitch
        return cls(np.empty(nbytes, np.uint8), pitch, Shadow(nbytes, NEVER), unrounded=values_beside(nbytes))

    def keep_writers(self) -> MemoryBlock:
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


def allocate(
    shape: tuple[int, ...],
    dtype: DType,
    buffer: MemoryRegion,
    name: str,
    core: int | None,
    arena: MemoryBlock | None,
    address: tuple[int, int] | None,
) -> tuple[Storage, MemoryBlock]:
    """A fresh allocation and its bytes. With `address`, a window of `arena`, the core's whole memory."""
    rows = shape[0] if buffer.is_on_chip else 1
    row_bytes = math.prod(shape[1:] if buffer.is_on_chip else shape) * dtype.itemsize
    owner = None if buffer is MemoryRegion.shared_hbm else core
    if address is None:
        block, base = MemoryBlock.fresh(rows, row_bytes), 0
    else:
        assert arena is not None
        block, base = arena, address[0] * arena.pitch + address[1]
    location = kernel_location()
    return Storage(buffer, rows, row_bytes, block.pitch, base, name, owner, location, address, shape, dtype), block


def wrap_host_array(array: Array, dtype: DType, name: str, core: int | None) -> tuple[Storage, MemoryBlock]:
    """HBM storage over the bytes of a C-contiguous host array, without a copy. Everything counts as written.

    Args:
        dtype: of the elements.
        core: None for shared HBM, else the core that alone sees it.
    """
    data = array.reshape(-1).view(np.uint8)
    block = MemoryBlock(data, data.size, Shadow(data.size, WRITTEN), unrounded=values_beside(data.size))
    return _host_storage(array, dtype, name, core, block)


def outline_host_array(array: Array, dtype: DType, name: str, core: int | None) -> tuple[Storage, MemoryBlock]:
    """HBM storage of the size of a host array, whose values nobody will ask for. It may repeat one element."""
    nothing = np.empty(1, np.uint8)  # of an empty buffer NumPy does not check the bounds
    block = MemoryBlock(nothing, array.nbytes, Shadow(array.nbytes, NOT_COMPUTED))
    return _host_storage(array, dtype, name, core, block)


def _host_storage(
    array: Array, dtype: DType, name: str, core: int | None, block: MemoryBlock
) -> tuple[Storage, MemoryBlock]:
    buffer, size = MemoryRegion.shared_hbm if core is None else MemoryRegion.private_hbm, block.pitch
    location = kernel_location()
    return Storage(buffer, 1, size, size, 0, name, core, location, shape=array.shape, dtype=dtype), block
