# SPDX-License-Identifier: Apache-2.0
"""Types of what the stages handle: tensors of `nki`, and the constants its instructions take.

AWS's package states no types. These say what device code relies on, and no more; any toolchain's objects fit.
"""

from __future__ import annotations

from typing import NewType, Protocol

Shape = tuple[int, ...]
Pattern = list[list[int]]
"""[[step, count], ...] of an access pattern, in elements; of a tile in SBUF or PSUM the first pair is partitions."""

DType = NewType("DType", object)
"""`nl.float32` and its like; `str` of one is its name."""
Buffer = NewType("Buffer", object)
"""Where a tensor lies: `nl.sbuf`, `nl.psum`, `nl.shared_hbm` ..."""
Operator = NewType("Operator", object)
"""An element-wise operation or activation function: `nl.add`, `nl.silu` ..."""
OutOfBounds = NewType("OutOfBounds", object)
"""What a transfer does with an index beyond the end: `nisa.oob_mode.skip` or `.error`."""
PerfMode = NewType("PerfMode", object)
"""How the PE reads its operands: `nisa.matmul_perf_mode`."""
Register = NewType("Register", object)
"""A number known on the device alone. It has no value while the kernel is traced."""


class Tensor(Protocol):
    """A tensor in HBM, or a tile in SBUF or PSUM whose first dimension is partitions; or a view of one."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> DType: ...

    @property
    def buffer(self) -> Buffer: ...

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Tensor: ...

    def ap(
        self,
        pattern: Pattern,
        offset: int = 0,
        scalar_offset: Tensor | Register | None = None,
        vector_offset: Tensor | None = None,
        indirect_dim: int = 0,
    ) -> Tensor:
        """Any elements, by steps and counts; an offset on the device counts in rows of dimension `indirect_dim`."""
        ...

    def reshape(self, shape: Shape) -> Tensor: ...

    def view(self, dtype: DType) -> Tensor:
        """The same bytes as another type."""
        ...

    def permute(self, dims: Shape) -> Tensor: ...

    def expand_dim(self, dim: int) -> Tensor: ...

    def broadcast(self, dim: int, size: int) -> Tensor: ...


Index = int | slice
IndexTile = Tensor
"""int32 [128, 1], one index a partition: token ids, rows of affinities, an expert on all partitions; or [1, 1]."""
ElementOperand = Tensor | float
"""Of an element-wise instruction: a number, or fp32 [partitions, 1]."""
