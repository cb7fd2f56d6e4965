# SPDX-License-Identifier: Apache-2.0
"""NkiTensor: a strided view of a storage. Methods follow the published class; data is reached only through the door."""

from __future__ import annotations

import math
from typing import Any

from nkisim.dtypes import DType, dtype_of
from nkisim.errors import ArgumentError, OutOfBounds, ShapeError, ViewError
from nkisim.memory import columns, views
from nkisim.memory.block import MemoryBlock
from nkisim.memory.indexing import DynamicSlice, PlainIndex, apply_index, plain_index
from nkisim.memory.indirection import Columns, Indirection, checked
from nkisim.memory.no_array import NoArray
from nkisim.memory.rearrange import rearrangement
from nkisim.memory.shown import first_values, peek
from nkisim.memory.storage import Storage
from nkisim.memory.storage_view import StorageView
from nkisim.memory.views import Layout

__all__ = ["DynamicSlice", "Indirection", "NkiTensor"]


class NkiTensor(StorageView, NoArray):
    """A view of device memory. On-chip tensors keep their partition dimension at position 0.

    Attributes:
        shape, strides, offset: the view, in elements.
        dtype: an NKI dtype.
        buffer: the memory it lives in.
    """

    __slots__ = ("form", "parts")

    def __init__(
        self, storage: Storage, block: MemoryBlock, layout: Layout, dtype: DType, indirection: Indirection | None = None
    ) -> None:
        super().__init__(storage, block, layout, dtype, indirection)
        self.form: object = None  # the guards keep here what it looks like to them
        self.parts: dict[Any, NkiTensor] | None = None  # views by integers and slices, of tiles

    data = property(lambda self: self)  # so that tensors and grids are handed to instructions alike

    def __repr__(self) -> str:
        """With the first values it holds now: for debuggers, which show it a line."""
        return f"{self.described[:-1]}, {first_values(self)})"

    def __str__(self) -> str:
        """With the values it holds now: for `print` and debuggers. A trace on AWS's toolchain has none to show."""
        return f"{self.described}\n{peek(self)}"

    def __bool__(self) -> bool:
        """A tensor is a handle while the kernel is traced, so it is true whatever it holds; lint reports such tests."""
        return True

    def __len__(self) -> int:
        return int(self.shape[0])

    # -- queries ---------------------------------------------------------------------------------------------

    def is_contiguous(self) -> bool:
        """Whether the view covers storage densely; for on-chip tensors, within each partition."""
        first = 1 if self.buffer.is_on_chip else 0
        return views.is_dense(self.shape[first:], self.strides[first:])

    # -- views -----------------------------------------------------------------------------------------------

    def _with(self, layout: Layout) -> NkiTensor:
        if self.buffer.is_on_chip and len(layout.shape) < 2:
            raise ViewError(
                "on-chip views keep at least two dimensions",
                f"{layout.shape} from {self.shape}",
                "Keep a free dimension of size 1.",
            )
        kept = layout.shape[1:] == self.shape[1:] and layout.strides == self.strides
        if isinstance(self.indirection, Columns) and not kept:
            raise _fixed_columns(self)
        return NkiTensor(self.storage, self.block, layout, self.dtype, self.indirection)

    def _axis(self, dim: int, what: str, minimum: int = 0) -> int:
        axis = dim + self.ndim if dim < 0 else dim
        if not 0 <= axis < self.ndim:
            raise ViewError(f"{what} needs a dimension of the tensor", f"dim {dim} of shape {self.shape}", "Fix dim.")
        if axis < minimum:
            raise ViewError(
                f"{what} cannot touch dimension 0: it is the partition (or the indirect) dimension",
                f"dim {dim} of {self.described}",
                "Move the data between partitions with an instruction (nc_transpose, nc_stream_shuffle, DMA), or "
                "repeat a row with nl.broadcast_to.",
            )
        return axis

    @property
    def _gathers(self) -> bool:
        """Whether dimension 0 is addressed by one runtime index a row."""
        return self.indirection is not None and self.indirection.per_partition

    @property
    def _first_free(self) -> int:
        """First dimension that views may rearrange."""
        return 1 if self.buffer.is_on_chip or self._gathers else 0

    def __getitem__(self, key: Any) -> NkiTensor:
        """NumPy's indexing. Kernels take the same few parts of a tile again and again: it keeps them."""
        plain = plain_index(key)
        if plain is None or not self.buffer.is_on_chip:
            return self._index(key, plain)
        if self.parts is None:
            self.parts = {}
        part = self.parts.get(plain)
        if part is None:
            part = self.parts[plain] = self._index(key, plain)
        return part

    def _index(self, key: Any, plain: PlainIndex | None) -> NkiTensor:
        layout, dynamic = apply_index(self.layout, key, plain, self.buffer.is_on_chip or self._gathers)
        if self._gathers and (layout.shape[0] != self.shape[0] or (dynamic is not None and dynamic[0] == 0)):
            raise _fixed_rows(self)
        result = self._with(layout)
        if dynamic is None:
            return result
        axis, start, count = dynamic
        return result._indirect(start, self.strides[axis], self.shape[axis] - count + 1, per_partition=False)

    def slice(self, dim: int, start: int, end: int, step: int = 1) -> NkiTensor:
        """Elements start, start+step, ... below end of one dimension."""
        axis = self._axis(dim, "slice")
        if axis == 0 and self._gathers:
            raise _fixed_rows(self)
        if not (0 <= start < end <= self.shape[axis] and step >= 1):
            raise OutOfBounds(
                "a slice needs 0 <= start < end <= size and step >= 1",
                f"slice({dim}, {start}, {end}, {step}) of shape {self.shape}",
                "Clip the range to the tensor.",
            )
        count = -(-(end - start) // step)
        stride = self.strides[axis]
        return self._with(
            Layout(
                views.replace(self.shape, axis, count),
                views.replace(self.strides, axis, stride * step),
                self.offset + start * stride,
            )
        )

    def select(self, dim: int, index: Any) -> NkiTensor:
        """One element of a dimension, which is removed; `index` is an int, a [1,1] tensor or a register."""
        axis = self._axis(dim, "select")
        on_chip = self.buffer.is_on_chip
        static = isinstance(index, int)
        if not static:
            self._axis(dim, "a dynamic select", 1 if on_chip else 0)
        start = int(index) if static else 0
        kept = self.slice(axis, start, start + 1)
        needed = self.ndim <= (2 if on_chip else 1) or (axis == 0 and on_chip)
        rest = kept if needed else kept.squeeze_dim(axis)
        return rest if static else rest._indirect(index, self.strides[axis], self.shape[axis], per_partition=False)

    def vector_select(self, dim: int, vector_offset: NkiTensor) -> NkiTensor:
        """Row `vector_offset[p]` for partition p. HBM tensors, dim 0 only."""
        if dim != 0 or not self.buffer.is_hbm:
            raise ViewError(
                "vector_select works on dimension 0 of an HBM tensor",
                f"dim {dim} of {self.described}",
                "Use an HBM tensor.",
            )
        shape = views.replace(self.shape, 0, vector_offset.shape[0])
        rows = self._with(Layout(shape, self.strides, self.offset))
        return rows._indirect(vector_offset, self.strides[0], self.shape[0], per_partition=True)

    def _indirect(self, index: Any, stride: int, extent: int, per_partition: bool) -> NkiTensor:
        if self.indirection is not None:
            raise ViewError(
                "a view takes one runtime index",
                f"second index on {self.described}",
                "Fold both indices into one offset.",
            )
        indirection = checked(Indirection(index, stride, extent, per_partition), self.buffer)
        return NkiTensor(self.storage, self.block, self.layout, self.dtype, indirection)

    def permute(self, dims: tuple[int, ...]) -> NkiTensor:
        """Dimensions in another order; the partition dimension stays first."""
        if sorted(dims) != list(range(self.ndim)) or (self._first_free and dims[0] != 0):
            raise ViewError(
                "permute needs a permutation of the dimensions that keeps the partition dimension first",
                f"{tuple(dims)} of {self.described}",
                "Transpose with nc_transpose or dma_transpose to move partitions.",
            )
        return self._with(Layout(tuple(self.shape[d] for d in dims), tuple(self.strides[d] for d in dims), self.offset))

    def broadcast(self, dim: int, size: int) -> NkiTensor:
        """A dimension of size 1 repeated `size` times without a copy."""
        axis = self._axis(dim, "broadcast", 1 if self.buffer.is_on_chip else 0)
        if self.shape[axis] != 1:
            raise ShapeError("broadcast needs a dimension of size 1", f"dim {dim} of {self.shape}", "Expand it first.")
        shape, strides = views.replace(self.shape, axis, size), views.replace(self.strides, axis, 0)
        return self._with(Layout(shape, strides, self.offset))

    def expand_dim(self, dim: int) -> NkiTensor:
        """A new dimension of size 1 before `dim`."""
        if not self._first_free <= dim <= self.ndim:
            raise ViewError("expand_dim cannot displace the partition dimension", f"dim {dim}", "Use dim >= 1.")
        shape = (*self.shape[:dim], 1, *self.shape[dim:])
        return self._with(Layout(shape, (*self.strides[:dim], 1, *self.strides[dim:]), self.offset))

    def squeeze_dim(self, dim: int) -> NkiTensor:
        """A dimension of size 1 removed."""
        axis = self._axis(dim, "squeeze_dim", self._first_free)
        if self.shape[axis] != 1:
            raise ShapeError("squeeze_dim needs a dimension of size 1", f"dim {dim} of {self.shape}", "Select first.")
        return self._with(Layout(views.replace(self.shape, axis), views.replace(self.strides, axis), self.offset))

    def reshape_dim(self, dim: int, shape: tuple[int, ...]) -> NkiTensor:
        """One dimension split into several; one size may be -1."""
        trivial = len(shape) == 1
        axis = self._axis(dim, "reshape_dim", 0 if trivial else self._first_free)
        sizes = _infer(tuple(shape), self.shape[axis])
        return self._with(views.split(self.layout, axis, sizes))

    def flatten_dims(self, start_dim: int, end_dim: int) -> NkiTensor:
        """Dimensions start_dim..end_dim merged into one."""
        start, end = (
            self._axis(start_dim, "flatten_dims", self._first_free),
            self._axis(end_dim, "flatten_dims"),
        )
        if start > end:
            raise ViewError("flatten_dims goes from a dimension to a later one", f"{start} to {end}", "Swap them.")
        return self._with(self._possible(views.merge(self.layout, start, end), "flatten_dims"))

    def reshape(self, shape: tuple[int, ...]) -> NkiTensor:
        """Another shape over the same elements, without a copy; all its sizes are given."""
        sizes = _checked(tuple(shape), self.size)
        if self._first_free and sizes[:1] != self.shape[:1]:
            raise ViewError(
                "reshape keeps the partition dimension",
                f"{self.shape} to {sizes}",
                "Reshape only free dimensions.",
            )
        return self._with(self._possible(views.reshape(self.layout, sizes), f"reshape to {sizes}"))

    def _possible(self, layout: Layout | None, what: str) -> Layout:
        if layout is None:
            raise ViewError(
                f"{what} must not need a copy",
                f"shape {self.shape} with strides {self.strides}",
                "Copy it first.",
            )
        return layout

    def rearrange(
        self,
        src_pattern: tuple[Any, ...],
        dst_pattern: tuple[Any, ...],
        fixed_sizes: dict[str, int] | None = None,
    ) -> NkiTensor:
        """einops-style split, reorder and merge: ('b', ('h', 'w')) -> ('b', 'w', 'h')."""
        steps = rearrangement(self.shape, src_pattern, dst_pattern, fixed_sizes or {})
        result = self
        for axis, sizes in steps.splits:
            result = result.reshape_dim(axis, sizes)
        result = result.permute(steps.order)
        for first, last in steps.merges:
            result = result.flatten_dims(first, last)
        return result

    # -- raw access patterns ---------------------------------------------------------------------------------

    def ap(
        self,
        pattern: list[list[int]],
        offset: int | None = None,
        scalar_offset: Any = None,
        vector_offset: NkiTensor | None = None,
        indirect_dim: int = 0,
        dtype: Any = None,
    ) -> NkiTensor:
        """An explicit [[stride, count], ...] pattern over the storage, in elements of `dtype`.

        The pattern ignores this view's shape and strides; its storage offset is kept and `offset` is added to it. On
        chip a stride from one partition to the next may be written as this view's own width, too.
        A runtime index moves the address by the stride of dimension `indirect_dim` of this tensor.
        """
        if scalar_offset is not None and vector_offset is not None:
            raise ArgumentError(
                "scalar_offset and vector_offset exclude each other",
                "both given",
                "Fold them into one index.",
            )
        if not pattern or any(len(pair) != 2 or pair[1] < 1 for pair in pattern):
            raise ArgumentError("a pattern is [[stride, count], ...], counts at least 1", f"{pattern}", "Fix it.")
        if isinstance(self.indirection, Columns):
            raise _fixed_columns(self)
        axis = self._axis(indirect_dim, "indirect_dim")
        if vector_offset is not None and axis != 0:
            raise ViewError("vector_offset indexes dimension 0", f"indirect_dim={indirect_dim}", "Use indirect_dim=0.")
        new = self.dtype if dtype is None else dtype_of(dtype)
        base = self._rescale(self.offset, new) + (offset or 0)
        strides = [int(s) for s, _ in pattern]
        if self.buffer.is_on_chip and strides[0] * new.itemsize == math.prod(self.shape[1:]) * self.dtype.itemsize:
            strides[0] = self.storage.row_bytes // new.itemsize
        layout = Layout(tuple(int(n) for _, n in pattern), tuple(strides), base)
        view = NkiTensor(self.storage, self.block, layout, new)._with(layout)
        index = scalar_offset if vector_offset is None else vector_offset
        if index is None:
            return view
        stride = self._rescale(self.strides[axis], new)
        return view._indirect(index, stride, self.shape[axis], per_partition=vector_offset is not None)

    def _rescale(self, elements: int, dtype: DType) -> int:
        """A distance in elements of this tensor as elements of `dtype`."""
        distance, rest = divmod(elements * self.dtype.itemsize, dtype.itemsize)
        if rest:
            raise ViewError(
                f"a reinterpreted address is a multiple of {dtype.itemsize} bytes",
                f"byte {elements * self.dtype.itemsize} of {self.described} as {dtype}",
                "Reinterpret before slicing, or align the slice.",
            )
        return distance

    def view(self, dtype: Any) -> NkiTensor:
        """The same bits as another dtype; the last dimension is rescaled."""
        new = dtype_of(dtype)
        old_bytes, new_bytes = self.dtype.itemsize, new.itemsize
        last_bytes = self.shape[-1] * old_bytes
        scaled = [stride * old_bytes for stride in self.strides[:-1]]
        legal = self.strides[-1] == 1 or self.shape[-1] == 1
        aligned = all(b % new_bytes == 0 for b in (last_bytes, self.offset * old_bytes, *scaled))
        if not (legal and aligned) or self.indirection is not None:
            raise ViewError(
                "view(dtype) needs a direct view with a contiguous last dimension that divides into the new type",
                f"{self.described} as {new}",
                "Reinterpret before slicing, or copy.",
            )
        shape = (*self.shape[:-1], last_bytes // new_bytes)
        strides = (*(s // new_bytes for s in scaled), 1)
        layout = Layout(shape, strides, self.offset * old_bytes // new_bytes)
        return NkiTensor(self.storage, self.block, layout, new)

    reinterpret_cast = view

    def indirect(self, index: NkiTensor, num_elem: int | None = None) -> NkiTensor:
        """Columns of an on-chip tile, [P, num_elem], at the free offsets in `index`, an SBUF tile [P, K] of integers.

        Offset i is index[i % G, i // G]; G is 16, or 32 for operands of the Tensor Engine. NeuronCore-v4.
        """
        return columns.indirect(self, index, num_elem)


def _fixed_columns(tensor: NkiTensor) -> ViewError:
    return ViewError(
        "the columns of an indirect view are not sliced, reshaped or indexed again",
        f"another view of {tensor.described}",
        "Slice the tile before .indirect(), or slice the offsets.",
    )


def _fixed_rows(tensor: NkiTensor) -> ViewError:
    return ViewError(
        "the dimension of a gather or scatter is not sliced or selected again",
        f"an index into dimension 0 of {tensor.described}",
        "Slice the indices instead.",
    )


def _infer(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """`shape` with one -1 filled in so that it holds `size` elements."""
    if shape.count(-1) == 1:
        known = -math.prod(shape)
        if known and size % known == 0:
            shape = tuple(size // known if n == -1 else n for n in shape)
    return _checked(shape, size)


def _checked(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """`shape`, which must hold `size` elements."""
    if math.prod(shape) != size or any(n < 0 for n in shape):
        raise ShapeError(
            "a reshape keeps the number of elements", f"{size} elements to shape {shape}", "Give all sizes."
        )
    return shape
