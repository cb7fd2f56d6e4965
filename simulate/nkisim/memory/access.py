# SPDX-License-Identifier: Apache-2.0
"""Which bytes one operand touched: what events keep. Holds no data, so a recorded run stays small."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nkisim.dtypes import Array, DType
from nkisim.memory.storage import Storage


@dataclass(eq=False, slots=True)
class Access:
    """The bytes one operand of one instruction touches. Never changed (and not frozen: that takes longer to make).

    Attributes:
        storage: the allocation.
        dtype: type the bytes are seen as.
        start: byte offset in the memory block that holds the allocation.
        shape, strides: the access in elements and bytes; dimension 0 of a gather is the row dimension.
        rows: runtime row numbers of a gather or scatter, else None.
    """

    storage: Storage
    dtype: DType
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    rows: Array | None = None

    @property
    def extent(self) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Where its elements are, in their order, within a memory block."""
        return self.start, self.shape, self.strides

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def row_size(self) -> int:
        """Elements of one row: of a partition, on chip."""
        return self.size // self.shape[0] if self.shape and self.shape[0] else self.size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize
