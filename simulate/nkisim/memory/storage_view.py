# SPDX-License-Identifier: Apache-2.0
"""What a view of memory is, as far as the door to memory needs it."""

from __future__ import annotations

import math
from typing import Any

from nkisim.dtypes import DType
from nkisim.memory.block import MemoryBlock
from nkisim.memory.indirection import Indirection
from nkisim.memory.regions import MemoryRegion
from nkisim.memory.storage import Storage
from nkisim.memory.views import Layout


class StorageView:
    """Elements of a storage, strided, perhaps at a runtime index. `NkiTensor` adds the methods that kernels call.

    Attributes:
        storage, block: the allocation and its bytes.
        layout: the view, in elements; shape, strides and offset are its parts.
        dtype: an NKI dtype.
        buffer: the memory it lives in.
        indirection: the runtime index in its address, or None.
    """

    __slots__ = (
        "block", "buffer", "dtype", "indirection", "layout", "offset", "region", "shape", "storage", "strides",
    )  # fmt: skip

    def __init__(
        self, storage: Storage, block: MemoryBlock, layout: Layout, dtype: DType, indirection: Indirection | None = None
    ) -> None:
        self.storage, self.block, self.layout = storage, block, layout
        self.shape, self.strides, self.offset = layout
        self.buffer: MemoryRegion = storage.buffer
        self.dtype, self.indirection = dtype, indirection
        self.region: Any = None  # the door keeps here where a view without runtime index lies

    name = property(lambda self: self.storage.name)
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    @property
    def described(self) -> str:
        """Shape, dtype, memory and name, for messages."""
        kind = type(self).__name__
        return f"{kind}(shape={self.shape}, dtype={self.dtype}, buffer={self.buffer.value}, name={self.name!r})"

    def get_pattern(self) -> list[list[int]]:
        """[[stride, count], ...] as `.ap()` takes it."""
        return [[stride, count] for stride, count in zip(self.strides, self.shape, strict=True)]

    def is_indirect(self) -> bool:
        """Whether the address depends on a runtime index."""
        return self.indirection is not None
