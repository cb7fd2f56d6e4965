"""The one door to memory.

`resolve` turns a view into a `Region`, the bytes an instruction touches, checking bounds and runtime indices.
`read` and `write` are the only functions that look at or change them. Nothing else in nkisim reads tensor data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nkisim.dtypes import convert
from nkisim.errors import OutOfBounds, PartitionError, ShapeError, UninitializedRead, ViewError
from nkisim.memory.access import Access
from nkisim.memory.indirection import Indirection
from nkisim.memory.registers import RegisterValue
from nkisim.memory.shadow import NEVER, WRITTEN, Shadow
from nkisim.memory.storage import Block
from nkisim.memory.tensor import NkiTensor

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """An access together with the bytes behind it, alive while its instruction runs.

    Attributes:
        in_bounds: which rows of a gather or scatter exist (None: all); False only under `oob_mode.skip`.
        skipped: a scalar runtime index was out of bounds and the whole access is dropped.
    """

    access: Access
    block: Block
    in_bounds: Array | None = None
    skipped: bool = False

    def keep(self, mask: Array) -> Region:
        """The region restricted to entries `mask` of dimension 0."""
        old = self.access
        rows = np.flatnonzero(mask) if old.rows is None else old.rows[mask]
        return Region(replace(old, shape=(len(rows), *old.shape[1:]), rows=rows), self.block)


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
    access = Access(storage, tensor.dtype, storage.base + start, shape, byte_strides, rows)
    return Region(access, tensor.block, in_bounds, skipped)


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
    region = resolve(how.index)
    missing = first_unwritten(region)
    if missing is not None:
        raise UninitializedRead(
            "a runtime index is written before it is used",
            f"element {missing} of shape {region.access.shape} in the {region.access.storage} was never written",
            "Load or compute the indices first.",
        )
    return read(region).astype(np.int64).T.reshape(-1)


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
    if partition < 0 or partition + shape[0] > storage.rows:
        raise PartitionError(
            f"an access stays inside the {storage.rows} partitions of its tensor",
            f"partitions {partition}..{partition + shape[0] - 1} of the {storage}",
            "Fix the offset or the partition count.",
        )
    return partition * storage.pitch + within, (storage.pitch, *strides[1:])


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


def _array(access: Access, data: Array, dtype: np.dtype[Any]) -> Array:
    """`data` seen through the access, as `dtype`; all rows for a gather."""
    if access.rows is None:
        return np.ndarray(access.shape, dtype, data.data, access.start, access.strides)
    count = int(access.rows.max()) + 1 if access.rows.size else 0
    return np.ndarray((count, *access.shape[1:]), dtype, data.data, access.start, access.strides)


def read(region: Region) -> Array:
    """The values, in the tensor's own dtype. Callers do not write into the result."""
    access = region.access
    values = _array(access, region.block.data, access.dtype.numpy)
    return values if access.rows is None else values[access.rows]


def write(region: Region, values: Array, state: int = WRITTEN) -> None:
    """Store `values`, rounded and saturated to the tensor's dtype."""
    access = region.access
    mark(region, state)
    target = _array(access, region.block.data, access.dtype.numpy)
    converted = convert(values, access.dtype).reshape(access.shape)
    if access.rows is None:
        target[...] = converted
    else:
        target[access.rows] = converted


def _codes(access: Access, shadow: Shadow) -> Array:
    """Shadow codes of the access, one row of bytes for each run of elements; broadcast dimensions once."""
    itemsize = access.dtype.itemsize
    codes = shadow.materialize()
    shape = [1 if stride == 0 else n for n, stride in zip(access.shape, access.strides, strict=True)]
    strides = list(access.strides)
    if access.rows is not None:
        shape[0] = int(access.rows.max()) + 1 if access.rows.size else 0
    if shape and strides[-1] == itemsize:
        shape, strides = [*shape[:-1], shape[-1] * itemsize], [*strides[:-1], 1]
    else:
        shape, strides = [*shape, itemsize], [*strides, 1]
    view: Array = np.ndarray(shape, np.uint8, codes.data, access.start, strides)
    return view if access.rows is None else view[access.rows]


def mark(region: Region, state: int = WRITTEN) -> None:
    """Record that the region, which has each element once, has been written."""
    shadow, access = region.block.shadow, region.access
    if shadow.uniform == state:
        return
    if access.rows is not None:
        _mark_rows(access, shadow, state)
    elif access.nbytes == shadow.nbytes and 0 not in access.strides:
        shadow.mark_all(state)
    else:
        shadow.mark(_codes(access, shadow), state)


def _mark_rows(access: Access, shadow: Shadow, state: int) -> None:
    for row in np.unique(access.rows) if access.rows is not None else ():
        start = access.start + int(row) * access.strides[0]
        one = replace(access, start=start, rows=None, shape=(1, *access.shape[1:]))
        shadow.mark(_codes(one, shadow), state)
        if shadow.uniform is not None:
            return


def state_range(region: Region) -> tuple[int, int]:
    """Lowest and highest state among the region's bytes; equal when they are all the same."""
    shadow = region.block.shadow
    if shadow.uniform is not None or region.access.size == 0:
        return (shadow.uniform or NEVER, shadow.uniform or NEVER)
    codes = _codes(region.access, shadow)
    return int(codes.min()), int(codes.max())


def first_unwritten(region: Region) -> tuple[int, ...] | None:
    """Index of the first element with a byte nobody wrote, or None. Such bytes get their poison value here."""
    access, shadow = region.access, region.block.shadow
    if shadow.uniform not in (None, NEVER) or access.size == 0:
        return None
    codes = _codes(access, shadow)
    if int(codes.min()) != NEVER:
        return None
    region.block.poison()
    index = [int(i) for i in np.unravel_index(int(np.argmin(codes)), codes.shape)]
    if len(index) > len(access.shape):
        return tuple(index[:-1])
    return (*index[:-1], index[-1] // access.dtype.itemsize)
