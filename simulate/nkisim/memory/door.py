# SPDX-License-Identifier: Apache-2.0
"""The one door to memory.

`resolve` turns a view into a `Region`, the bytes an instruction touches, checking bounds and runtime indices.
`read` and `write` are the only functions that look at or change them. Nothing else in nkisim reads tensor data.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nkisim.dtypes import Array, convert, to_float32
from nkisim.errors import (
    NotSimulated,
    OutOfBounds,
    PartitionError,
    ShapeError,
    SimulationError,
    UninitializedRead,
    ViewError,
)
from nkisim.memory.access import Access
from nkisim.memory.block import MemoryBlock
from nkisim.memory.columns import offsets
from nkisim.memory.full_precision import is_rounded, recall, remember
from nkisim.memory.indirection import Columns, Indirection
from nkisim.memory.registers import RegisterValue
from nkisim.memory.shadow import NEVER, WRITTEN
from nkisim.memory.storage_view import StorageView
from nkisim.memory.views import Layout


@dataclass(eq=False, slots=True)
class Region:
    """An access together with the bytes behind it. Never changed.

    Attributes:
        in_bounds: which rows of a gather or scatter exist (None: all); False only under `oob_mode.skip`.
        skipped: a scalar runtime index was out of bounds and the whole access is dropped.
        columns: the access is a gather or scatter of columns, so its dimensions are exchanged.
        values: see `array`.
    """

    access: Access
    block: MemoryBlock
    in_bounds: Array | None = None
    skipped: bool = False
    columns: bool = False
    values: Array | None = None

    def array(self) -> Array:
        """The memory as an array of the access' shape and type; of a gather or scatter, all rows up to the last."""
        if self.values is None:
            self.values = _array(self.access, self.block.data, self.access.dtype.numpy)
        return self.values

    def last_first(self) -> Region:
        """The region with its last dimension in front."""
        old = self.access
        shape, strides = ((sizes[-1], *sizes[:-1]) for sizes in (old.shape, old.strides))
        return Region(replace(old, shape=shape, strides=strides), self.block)

    def keep(self, mask: Array) -> Region:
        """The region restricted to entries `mask` of dimension 0."""
        old = self.access
        rows = np.flatnonzero(mask) if old.rows is None else old.rows[mask]
        return Region(replace(old, shape=(len(rows), *old.shape[1:]), rows=rows), self.block)


def resolve(tensor: StorageView, skip_out_of_bounds: bool = False) -> Region:
    """The bytes behind `tensor`, now. Runtime indices are read here; other views are resolved once."""
    if tensor.indirection is not None:
        return _resolve_indirect(tensor, tensor.indirection, skip_out_of_bounds)
    if tensor.region is None:
        tensor.region = Region(_access(tensor, tensor.layout), tensor.block)
    region: Region = tensor.region
    return region


def _resolve_columns(tensor: StorageView, how: Columns) -> Region:
    """Rows of the access are the columns; its second dimension is the partition."""
    region = resolve(how.index)
    whole = _access(tensor, Layout((tensor.shape[0], how.extent), tensor.strides, tensor.offset))
    _check_index(region)
    rows = offsets(how, read(region))
    pitch, step = whole.strides
    access = replace(whole, shape=(how.count, tensor.shape[0]), strides=(step, pitch), rows=rows)
    return Region(access, tensor.block, columns=True)


def _resolve_indirect(tensor: StorageView, how: Indirection, skip_out_of_bounds: bool) -> Region:
    if isinstance(how, Columns):
        return _resolve_columns(tensor, how)
    offset, rows, in_bounds, skipped = _follow(tensor, how, tensor.offset, skip_out_of_bounds)
    layout = Layout(tensor.shape, tensor.strides, offset)
    if rows is not None:
        layout = Layout((int(rows.size), *tensor.shape[1:]), (how.stride, *tensor.strides[1:]), offset)
    return Region(_access(tensor, layout, rows, skipped), tensor.block, in_bounds, skipped)


def _access(tensor: StorageView, layout: Layout, rows: Array | None = None, skipped: bool = False) -> Access:
    """The bytes of `tensor` seen through `layout`, which must lie inside it unless the access is skipped."""
    storage, dtype = tensor.storage, tensor.dtype
    if 0 in layout.shape:
        raise OutOfBounds("an operand has at least one element", f"{tensor.described}", "Leave the instruction out.")
    if storage.buffer.is_on_chip:
        start, strides = physical(layout, dtype.itemsize, storage.rows, storage.row_bytes, storage.pitch)
        if start < 0:
            raise _outside_tile(tensor, layout)
    else:
        start, strides = layout.offset * dtype.itemsize, tuple(s * dtype.itemsize for s in layout.strides)
        if not skipped:
            _check_hbm(tensor, layout.shape, strides, start, rows)
    return Access(storage, dtype, storage.base + start, layout.shape, strides, rows)


def _follow(
    tensor: StorageView, how: Indirection, offset: int, skip: bool
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


def _one_per_row(tensor: StorageView, indices: Array) -> Array:
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
    _check_index(region)
    return read(region).astype(np.int64).T.reshape(-1)


def _check_index(region: Region) -> None:
    """Indices hold values that somebody wrote, and that are known."""
    missing = first_unwritten(region)
    if missing is not None:
        raise UninitializedRead(
            "a runtime index is written before it is used",
            f"element {missing} of shape {region.access.shape} in the {region.access.storage} was never written",
            "Load or compute the indices first.",
        )
    if not is_computed(region):
        raise NotSimulated(
            "without numerics, runtime indices depend on integer arguments and constants only",
            f"indices in the {region.access.storage}, which follow from floating point data",
            "Simulate with numerics=True.",
        )


@functools.lru_cache(maxsize=1 << 16)
def physical(layout: Layout, itemsize: int, rows: int, row: int, pitch: int) -> tuple[int, tuple[int, ...]]:
    """Byte start and strides in an on-chip memory: logical rows are `row` bytes long, physical ones `pitch`.

    The start is negative if the view leaves the `rows` x `row` bytes of its tensor, or skips partitions.
    """
    shape, strides = layout.shape, tuple(s * itemsize for s in layout.strides)
    partition, within = divmod(layout.offset * itemsize, row)
    low, high = _reach(within, shape[1:], strides[1:])
    adjacent = shape[0] == 1 or strides[0] == row
    inside = low >= 0 and high + itemsize <= row and partition >= 0 and partition + shape[0] <= rows
    return partition * pitch + within if adjacent and inside else -1, (pitch, *strides[1:])


def _reach(start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, int]:
    """Lowest and highest start of an element."""
    low = high = start
    for count, stride in zip(shape, strides, strict=True):
        if stride < 0:
            low += stride * (count - 1)
        else:
            high += stride * (count - 1)
    return low, high


def _outside_tile(tensor: StorageView, layout: Layout) -> SimulationError:
    """Why `physical` refuses a view."""
    storage, itemsize, shape = tensor.storage, tensor.dtype.itemsize, layout.shape
    strides = tuple(s * itemsize for s in layout.strides)
    row = storage.row_bytes
    partition, within = divmod(layout.offset * itemsize, row)
    if shape[0] > 1 and strides[0] != row:
        return ViewError(
            f"partitions of one access are adjacent: the partition stride is {row // itemsize} elements",
            f"{strides[0] // itemsize} in {tensor.described}",
            "Give .ap() the tensor's own partition stride; select partitions as a contiguous range.",
        )
    low, high = _reach(within, shape[1:], strides[1:])
    if low < 0 or high + itemsize > row:
        return OutOfBounds(
            f"an access stays inside its partition of {row} bytes",
            f"bytes {low}..{high + itemsize} of {tensor.described} in the {storage}",
            "Fix the offset or the free pattern.",
        )
    return PartitionError(
        f"an access stays inside the {storage.rows} partitions of its tensor",
        f"partitions {partition}..{partition + shape[0] - 1} of the {storage}",
        "Fix the offset or the partition count.",
    )


def _check_hbm(
    tensor: StorageView, shape: tuple[int, ...], strides: tuple[int, ...], start: int, rows: Array | None
) -> None:
    first = 1 if rows is not None else 0
    low, high = _reach(start, shape[first:], strides[first:])
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
    if access.rows is not None and not access.rows.size:  # there may be no bytes at all behind the access
        return np.empty((0, *access.shape[1:]), dtype)
    if access.size == 0:
        return np.empty(access.shape, dtype)  # storage may have no bytes, and NumPy looks at offset and strides
    if access.rows is None:
        return np.ndarray(access.shape, dtype, data.data, access.start, access.strides)
    count = int(access.rows.max()) + 1
    return np.ndarray((count, *access.shape[1:]), dtype, data.data, access.start, access.strides)


def read(region: Region) -> Array:
    """The values, in the tensor's own dtype (float32 under NKI_PRECISE_FP=0). Callers do not write into the result."""
    access = region.access
    values = region.array()
    if access.rows is not None:
        values = values[access.rows]
    if region.block.unrounded is not None and is_rounded(access.dtype):
        values = recall(access, region.block.unrounded, values)
    return np.ascontiguousarray(values.T) if region.columns else values


def held(region: Region) -> bytes | None:
    """A copy of the region's bytes; None where some were never written or computed."""
    access, shadow = region.access, region.block.shadow
    if shadow.is_unwritten(access) or not is_computed(region):
        return None
    values = region.array()
    return (values if access.rows is None else values[access.rows]).tobytes()


def copied(region: Region) -> Array:
    """A copy of the values. Of rows with a pitch, it is a view of what lies between them, too: poison if unwritten."""
    values, access = read(region), region.access
    pitch, *within = access.strides
    dense = values.itemsize * math.prod(access.shape[1:])
    if values is not region.values or len(within) != 1 or within[0] != values.itemsize or pitch <= dense:
        return values.copy()
    region.block.poison()
    held = region.block.data[access.start : access.start + (access.shape[0] - 1) * pitch + dense].copy()
    return np.ndarray(access.shape, values.dtype, held.data, strides=access.strides)


def write(region: Region, values: Array, state: int = WRITTEN) -> None:
    """Store `values`, rounded and saturated to the tensor's dtype."""
    access = region.access
    mark(region, state)
    if region.columns:
        values = values.reshape(access.shape[::-1]).T
    if values.shape != access.shape:
        values = values.reshape(access.shape)
    if region.block.unrounded is not None and is_rounded(access.dtype):
        remember(access, region.block.unrounded, values)
    target = region.array()
    converted = convert(values, access.dtype)
    if access.rows is None:
        target[...] = converted
    else:
        target[access.rows] = converted


def add(region: Region, values: Array, state: int = WRITTEN, where: Array | None = None) -> None:
    """Add `values` to what the region holds, in fp32, and store the sums; where `where` is False the values alone."""
    access = region.access
    if access.dtype != "float32" or access.rows is not None or where is not None:
        old = to_float32(read(region))
        values = values.reshape(old.shape)
        sums = np.add(values, old)
        write(region, sums if where is None else np.where(where, sums, values), state)
        return
    mark(region, state)
    target = region.array()
    np.add(values.reshape(access.shape), target, out=target)


def mark(region: Region, state: int = WRITTEN) -> None:
    """Record that the region, which has each element once, has been written."""
    block, access = region.block, region.access
    if block.writers is not None:
        block.writers.put(access, access.storage.identity)
    block.shadow.mark(access, state)


def lowest_state(region: Region) -> int:
    """Lowest state among the region's bytes."""
    shadow = region.block.shadow
    if shadow.uniform is not None or region.access.size == 0:
        return shadow.uniform or NEVER
    return int(shadow.states(region.access).min())


def is_its_own(region: Region) -> Array:
    """Which of the region's bytes were last written through its own tensor, of neighbours alike perhaps only one."""
    block, access = region.block, region.access
    if block.writers is not None:
        return np.asarray(block.writers.get(access) == access.storage.identity)
    uniform = block.shadow.uniform
    return np.asarray(block.shadow.states(access) != NEVER if uniform is None else [uniform != NEVER])


def own_states(region: Region) -> Array:
    """The lowest state of the bytes of each element, as `read` orders them; NEVER where another tensor wrote last."""
    block, access = region.block, region.access
    states = _by_element(access, block.shadow.by_byte())
    if block.writers is not None:
        own = (block.writers.by_byte() == access.storage.identity).astype(states.dtype)
        states = np.where(_by_element(access, own), states, NEVER)
    return states.T if region.columns else states


def is_computed(region: Region) -> bool:
    """Whether the region's values are known: no byte depends on something that was not computed."""
    shadow = region.block.shadow
    if shadow.highest <= WRITTEN or region.access.size == 0:
        return True
    return shadow.uniform is None and int(shadow.states(region.access).max()) <= WRITTEN


def first_unwritten(region: Region) -> tuple[int, ...] | None:
    """Index of the first element with a byte nobody wrote, or None. Such bytes get their poison value here."""
    access, shadow = region.access, region.block.shadow
    if not shadow.is_unwritten(access):
        return None
    region.block.poison()
    states = _by_element(access, shadow.by_byte())
    return tuple(int(i) for i in np.unravel_index(int(np.argmin(states)), states.shape))


def _by_element(access: Access, states: Array) -> Array:
    """The lowest of the `states`, one a byte of the block, for each element of the access."""
    shape = access.shape if access.rows is None else (int(access.rows.max()) + 1, *access.shape[1:])
    strides = (*access.strides, 1)
    by_byte = np.ndarray((*shape, access.dtype.itemsize), states.dtype, states.data, access.start, strides)
    return (by_byte if access.rows is None else by_byte[access.rows]).min(axis=-1)
