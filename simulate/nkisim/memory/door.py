"""The one door to memory.

`resolve` turns a view into a `Region`, the bytes an instruction touches, checking bounds and runtime indices.
`read` and `write` are the only functions that look at or change them. Nothing else in nkisim reads tensor data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nkisim.dtypes import convert
from nkisim.errors import OutOfBounds, PartitionError, ShapeError, ViewError
from nkisim.memory.registers import RegisterValue
from nkisim.memory.shadow import NEVER, WRITTEN
from nkisim.memory.storage import Storage
from nkisim.memory.tensor import Indirection, NkiTensor

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Region:
    """The bytes one operand of one instruction touches.

    Attributes:
        start: byte offset in the storage's block.
        shape, strides: the access in elements and bytes; dimension 0 of a gather is the row dimension.
        rows: runtime row numbers of a gather or scatter, else None.
        in_bounds: which rows exist (None: all); only with `oob_mode.skip` can it be False anywhere.
        skipped: a scalar runtime index was out of bounds and the whole access is dropped.
    """

    tensor: NkiTensor
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    rows: Array | None = None
    in_bounds: Array | None = None
    skipped: bool = False

    @property
    def storage(self) -> Storage:
        return self.tensor.storage

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.tensor.dtype.itemsize

    def keep(self, mask: Array) -> Region:
        """The region restricted to entries `mask` of dimension 0."""
        rows = np.flatnonzero(mask) if self.rows is None else self.rows[mask]
        return replace(self, shape=(len(rows), *self.shape[1:]), rows=rows, in_bounds=None)


def resolve(tensor: NkiTensor, skip_out_of_bounds: bool = False) -> Region:
    """The bytes behind `tensor`, now. Runtime indices are read here."""
    shape, strides, offset = tensor.layout
    rows = in_bounds = None
    skipped = False
    if tensor.indirection is not None:
        offset, rows, in_bounds, skipped = _follow(tensor, tensor.indirection, offset, skip_out_of_bounds)
    if rows is not None and tensor.indirection is not None:
        strides = (tensor.indirection.stride, *strides[1:])
        shape = (int(rows.size), *shape[1:])
    storage, itemsize = tensor.storage, tensor.dtype.itemsize
    byte_strides = tuple(stride * itemsize for stride in strides)
    start = offset * itemsize
    if storage.buffer.is_on_chip:
        start, byte_strides = _on_chip(tensor, shape, byte_strides, start)
    elif not skipped:
        _check_hbm(tensor, shape, byte_strides, start, rows)
    return Region(tensor, storage.base + start, shape, byte_strides, rows, in_bounds, skipped)


def _follow(
    tensor: NkiTensor, how: Indirection, offset: int, skip: bool
) -> tuple[int, Array | None, Array | None, bool]:
    """Apply a runtime index: (offset, rows, in_bounds, skipped)."""
    indices = _index_values(how)
    if how.per_partition:
        indices = _one_per_row(tensor, indices)
    legal = (indices >= 0) & (indices < how.extent)
    if not legal.all() and not skip:
        bad = int(np.flatnonzero(~legal)[0])
        raise OutOfBounds(
            f"a runtime index into {tensor.storage} is in 0..{how.extent - 1}",
            f"index {int(indices[bad])} at position {bad}",
            "Fix the indices, or pass oob_mode=oob_mode.skip to drop such rows.",
        )
    if how.per_partition:
        return offset, indices, None if legal.all() else legal, False
    return offset + int(indices[0]) * how.stride if legal[0] else offset, None, None, not bool(legal[0])


def _one_per_row(tensor: NkiTensor, indices: Array) -> Array:
    if indices.size < tensor.shape[0]:
        raise ShapeError(
            "a vector offset has one index for each row of the access",
            f"{indices.size} indices for shape {tensor.shape}",
            "Make dimension 0 of the pattern as long as the index tensor.",
        )
    return indices[: tensor.shape[0]]


def _index_values(how: Indirection) -> Array:
    if isinstance(how.index, RegisterValue):
        return np.array([how.index.read()], np.int64)
    return read(resolve(how.index)).astype(np.int64).T.reshape(-1)


def _on_chip(
    tensor: NkiTensor, shape: tuple[int, ...], strides: tuple[int, ...], start: int
) -> tuple[int, tuple[int, ...]]:
    """Physical byte start and strides: logical rows are `row_bytes` long, physical ones `pitch`."""
    storage = tensor.storage
    row = storage.row_bytes
    partition, within = divmod(start, row)
    if shape[0] > 1 and strides[0] != row:
        raise ViewError(
            f"partitions of one access are adjacent: the partition stride is {row // tensor.dtype.itemsize} elements",
            f"{strides[0] // tensor.dtype.itemsize} in {tensor!r}",
            "Give .ap() the tensor's own partition stride; select partitions as a contiguous range.",
        )
    low = within + sum(s * (n - 1) for s, n in zip(strides[1:], shape[1:], strict=True) if s < 0)
    high = within + sum(s * (n - 1) for s, n in zip(strides[1:], shape[1:], strict=True) if s > 0)
    if low < 0 or high + tensor.dtype.itemsize > row:
        raise OutOfBounds(
            f"an access stays inside its partition of {row} bytes",
            f"bytes {low}..{high + tensor.dtype.itemsize} of {tensor!r} in the {storage}",
            "Fix the offset or the free pattern.",
        )
    if partition + shape[0] > storage.rows:
        raise PartitionError(
            f"an access stays inside the {storage.rows} partitions of its tensor",
            f"partitions {partition}..{partition + shape[0] - 1} of the {storage}",
            "Fix the offset or the partition count.",
        )
    return partition * storage.block.pitch + within, (storage.block.pitch, *strides[1:])


def _check_hbm(
    tensor: NkiTensor, shape: tuple[int, ...], strides: tuple[int, ...], start: int, rows: Array | None
) -> None:
    spans = list(zip(strides, shape, strict=True))[1 if rows is not None else 0 :]
    low = start + sum(s * (n - 1) for s, n in spans if s < 0)
    high = start + sum(s * (n - 1) for s, n in spans if s > 0)
    if rows is not None and rows.size:
        legal = rows[(rows >= 0) & (rows < tensor.indirection.extent)] if tensor.indirection else rows
        if legal.size == 0:
            return
        low, high = low + int(legal.min()) * strides[0], high + int(legal.max()) * strides[0]
    if low < 0 or high + tensor.dtype.itemsize > tensor.storage.nbytes:
        raise OutOfBounds(
            f"an access stays inside the {tensor.storage.nbytes} bytes of the {tensor.storage}",
            f"bytes {low}..{high + tensor.dtype.itemsize} for pattern {tensor.get_pattern()} at offset {tensor.offset}",
            "Fix the offset or the pattern.",
        )


def _array(region: Region, data: Array, dtype: np.dtype[Any]) -> Array:
    """`data` seen through the region, as `dtype`; all rows for a gather."""
    if region.rows is None:
        return np.ndarray(region.shape, dtype, data.data, region.start, region.strides)
    count = int(region.rows.max()) + 1 if region.rows.size else 0
    return np.ndarray((count, *region.shape[1:]), dtype, data.data, region.start, region.strides)


def read(region: Region) -> Array:
    """The values, in the tensor's own dtype. Callers do not write into the result."""
    values = _array(region, region.storage.block.data, region.tensor.dtype.numpy)
    return values if region.rows is None else values[region.rows]


def write(region: Region, values: Array, state: int = WRITTEN) -> None:
    """Store `values`, rounded and saturated to the tensor's dtype."""
    mark(region, state)
    target = _array(region, region.storage.block.data, region.tensor.dtype.numpy)
    converted = convert(values, region.tensor.dtype).reshape(region.shape)
    if region.rows is None:
        target[...] = converted
    else:
        target[region.rows] = converted


def _codes(region: Region) -> Array:
    """Shadow codes of the region, one row of bytes for each run of elements; broadcast dimensions once."""
    itemsize = region.tensor.dtype.itemsize
    codes = region.storage.block.shadow.materialize()
    shape = [1 if stride == 0 else n for n, stride in zip(region.shape, region.strides, strict=True)]
    strides = list(region.strides)
    if region.rows is not None:
        shape[0] = int(region.rows.max()) + 1 if region.rows.size else 0
    if shape and strides[-1] == itemsize:
        view = np.ndarray((*shape[:-1], shape[-1] * itemsize), np.uint8, codes.data, region.start, (*strides[:-1], 1))
    else:
        view = np.ndarray((*shape, itemsize), np.uint8, codes.data, region.start, (*strides, 1))
    return view if region.rows is None else view[region.rows]


def mark(region: Region, state: int = WRITTEN) -> None:
    """Record that the region has been written."""
    shadow = region.storage.block.shadow
    if shadow.uniform == state:
        return
    if region.rows is None:
        if region.nbytes == shadow.nbytes and 0 not in region.strides:
            shadow.mark_all(state)
        else:
            shadow.mark(_codes(region), state)
    else:
        _mark_rows(region, state)


def _mark_rows(region: Region, state: int) -> None:
    assert region.rows is not None
    for row in np.unique(region.rows):
        one = replace(
            region, start=region.start + int(row) * region.strides[0], rows=None, shape=(1, *region.shape[1:])
        )
        region.storage.block.shadow.mark(_codes(one), state)
        if region.storage.block.shadow.uniform is not None:
            return


def state_range(region: Region) -> tuple[int, int]:
    """Lowest and highest of NEVER, WRITTEN, MATMUL among the region's bytes; equal when they are all the same."""
    uniform = region.storage.block.shadow.uniform
    if uniform is not None or region.size == 0:
        return (uniform or NEVER, uniform or NEVER)
    codes = _codes(region)
    return int(codes.min()), int(codes.max())


def first_unwritten(region: Region) -> tuple[int, ...] | None:
    """Index of the first element with a byte nobody wrote, or None."""
    uniform = region.storage.block.shadow.uniform
    if uniform is not None:
        return None if uniform != NEVER or region.size == 0 else (0,) * len(region.shape)
    codes = _codes(region)
    if codes.size == 0 or int(codes.min()) != NEVER:
        return None
    where = np.unravel_index(int(np.argmin(codes)), codes.shape)
    index = [int(i) for i in where]
    if len(index) > len(region.shape):
        return tuple(index[:-1])
    return (*index[:-1], index[-1] // region.tensor.dtype.itemsize)
