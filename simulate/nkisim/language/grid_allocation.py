# SPDX-License-Identifier: Apache-2.0
"""`nl.alloc_tiles`, `nl.alloc_blocks` and `nl.empty_like`: storage that comes with its navigation."""

from __future__ import annotations

import math
from typing import Any

from nkisim.errors import ArgumentError, GridError, NotSimulated
from nkisim.language.allocation import ndarray
from nkisim.language.grids import (
    Axis,
    NkiBlockGrid,
    NkiGrid,
    NkiTileGrid,
    PackedSource,
    PlainSource,
    checked_blocks,
    checked_shape,
    checked_tile,
)
from nkisim.memory import MemoryRegion, NkiTensor

_TRANSPOSES = ((1, 0), (2, 1, 0), (3, 1, 2, 0))
_MOST_PARTITIONS = 128


def alloc_tiles(
    *,
    tile_shape: tuple[int, ...],
    element_shape: tuple[int, ...],
    buffer: MemoryRegion,
    dtype: Any,
    address: tuple[int, int] | None = None,
    name: str = "",
) -> NkiTileGrid:
    """A new, uninitialised tensor of `element_shape` as a grid of tiles of `tile_shape`.

    buffer, dtype, address and name are those of `nl.ndarray`.

    In HBM it has exactly `element_shape`. On chip every tile takes the room of a whole one, and they lie one behind the
    other, last coordinate first, in the columns of one tensor with the partitions of a tile.

    Raises:
        ArgumentError, GridError: a shape is no tuple of integers, or they do not fit each other.
        ShapeError, PartitionError: as `nl.ndarray`.
    """
    whole = checked_shape("element_shape", element_shape)
    tile = checked_tile(tile_shape, whole)
    backing = _storage(tile, whole, buffer, dtype, address, name)
    return NkiTileGrid(backing, tuple(Axis.over(0, size, n, 1) for size, n in zip(whole, tile, strict=True)))


def alloc_blocks(
    *,
    tile_shape: tuple[int, ...],
    block_shape: tuple[int, ...],
    element_shape: tuple[int, ...],
    buffer: MemoryRegion,
    dtype: Any,
    address: tuple[int, int] | None = None,
    name: str = "",
) -> NkiBlockGrid:
    """As `alloc_tiles`, navigated by blocks of `block_shape` tiles; where tiles lie does not depend on the blocks.

    tile_shape, element_shape, buffer, dtype, address and name are those of `alloc_tiles`.

    Raises:
        ArgumentError, GridError, ShapeError, PartitionError: as `alloc_tiles`, or the blocks do not fit.
    """
    whole = checked_shape("element_shape", element_shape)
    tile = checked_tile(tile_shape, whole)
    group = checked_blocks(block_shape, tile)
    backing = _storage(tile, whole, buffer, dtype, address, name)
    return NkiBlockGrid(backing, tuple(map(Axis.over, (0,) * len(whole), whole, tile, group)))


def _storage(
    tile: tuple[int, ...], whole: tuple[int, ...], buffer: Any, dtype: Any, address: Any, name: str
) -> PlainSource | PackedSource:
    if not isinstance(buffer, MemoryRegion):
        raise ArgumentError("buffer is a memory region", f"{buffer!r}", "Use nl.sbuf, nl.psum or nl.shared_hbm.")
    if not buffer.is_on_chip:
        return PlainSource(ndarray(whole, dtype, buffer, name, address))
    counts = tuple(-(-size // n) for size, n in zip(whole, tile, strict=True))
    columns = math.prod(counts) * math.prod(tile[1:])
    return PackedSource(ndarray((tile[0], columns), dtype, buffer, name, address), tile, counts)


def empty_like(
    x: Any,
    dtype: Any = None,
    buffer: Any = None,
    name: str = "",
    *,
    transpose_axes: tuple[int, ...] | None = None,
    address: tuple[int, int] | None = None,
) -> Any:
    """An uninitialised tensor or grid like `x`, unless given with its dtype and buffer.

    A grid keeps its kind, its coordinates and what its last cells lack; selected cells with gaps between them lie
    one behind the other.

    Args:
        name, address: as of `nl.ndarray`.
        transpose_axes: order of the dimensions of an SBUF tensor that a later `nisa.dma_transpose` fills.

    Raises:
        GridError: `transpose_axes` is none of (1, 0), (2, 1, 0) and (3, 1, 2, 0), or makes more than 128 partitions.
    """
    kind, region = x.dtype if dtype is None else dtype, x.buffer if buffer is None else buffer
    if isinstance(x, NkiGrid):
        return _grid_like(x, kind, region, name, transpose_axes, address)
    shape = x.shape if transpose_axes is None else _transposed(x, transpose_axes, region)
    return ndarray(shape, kind, region, name, address)


def _grid_like(x: NkiGrid, dtype: Any, buffer: Any, name: str, transpose_axes: Any, address: Any) -> NkiGrid:
    if transpose_axes is not None:
        raise NotSimulated(
            "transpose_axes orders the dimensions of a tensor: what becomes of a grid's coordinates is not documented",
            f"{x!r}",
            "Allocate with nl.alloc_tiles.",
        )
    backing = _storage(x.tile_shape, x.element_shape, buffer, dtype, address, name)
    return type(x)(backing, tuple(axis._replace(first=0, extent=axis.elements, start=0, step=1) for axis in x.axes))


def _transposed(x: NkiTensor, axes: Any, buffer: Any) -> tuple[int, ...]:
    if axes not in _TRANSPOSES or len(axes) != x.ndim:
        allowed = " or ".join(map(str, _TRANSPOSES))
        raise GridError(f"transpose_axes is {allowed}, as many as dimensions", f"{axes} of {x.shape}", "Fix it.")
    if buffer is not MemoryRegion.sbuf:
        raise GridError("transpose_axes prepares an SBUF tensor", f"{buffer}", "Pass buffer=nl.sbuf.")
    shape = tuple(x.shape[axis] for axis in axes)
    if shape[0] > _MOST_PARTITIONS:
        raise GridError(
            f"the dimension that becomes the partitions has at most {_MOST_PARTITIONS}", f"{shape}", "Tile it."
        )
    return shape
