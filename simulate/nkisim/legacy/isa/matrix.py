# SPDX-License-Identifier: Apache-2.0
"""Products, transposes, reductions and searches of NKI 0.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError
from nkisim.legacy.isa.operands import copied, in_sbuf, tile
from nkisim.legacy.issue import issue, result_of
from nkisim.legacy.masks import box_of, mask_of
from nkisim.legacy.moving import cropped
from nkisim.legacy.operators import core_operator
from nkisim.legacy.tile import Tile
from nkisim.memory import MemoryRegion
from nkisim.nki import isa as core
from nkisim.operations.enums import engine as Engine

PSUM = MemoryRegion.psum


def flat(x: Tile) -> Tile:
    """[partitions, free] of a tile with several free dimensions, where that is no copy."""
    return x if x.ndim == 2 else x.reshape((x.shape[0], x.size // x.shape[0]))


def nc_matmul(
    stationary: Any, moving: Any, *, is_stationary_onezero: bool = False, is_moving_onezero: bool = False,
    is_transpose: bool = False, tile_position: Any = (), tile_size: Any = (), mask: Any = None, **_: Any,
) -> Tile:  # fmt: skip
    """stationary.T @ moving in PSUM, float32; stationary is [K, M], moving [K, N]."""
    left, right = flat(in_sbuf(stationary)), in_sbuf(moving)
    if is_transpose:
        return nc_transpose(left)

    def run(dst: Any, a: Any, b: Any) -> None:
        core.nc_matmul(
            dst, a, b, is_stationary_onezero, is_moving_onezero, accumulate=False, tile_position=tuple(tile_position),
            tile_size=tuple(tile_size),
        )  # fmt: skip

    shape = (left.shape[1], *right.shape[1:])
    if mask is not None and not np.any(mask):
        return result_of(lambda dst: core.memset(dst, 0.0), shape, "float32", [], None, PSUM)
    if mask is not None and not np.all(mask):
        raise ArgumentError("a product of a part indexes that part", "mask= of nc_matmul", "Slice the operands.")
    return result_of(run, shape, "float32", [left, right], None, PSUM)


def nc_transpose(data: Any, *, mask: Any = None, dtype: Any = None, engine: Engine = Engine.unknown) -> Tile:
    """Partitions and columns exchanged: in PSUM by the Tensor Engine, in SBUF by the Vector Engine."""
    given = flat(tile(data))
    live = mask_of(mask, given.shape)
    if live is not None:
        given = Tile(given.home, cropped(given.spread, box_of(live)[0]))
    on_vector = engine is Engine.vector
    source = given if on_vector else in_sbuf(given)
    shape, region = (given.shape[1], given.shape[0]), MemoryRegion.sbuf if on_vector else PSUM
    run = lambda dst, x: core.nc_transpose(dst, x, engine=engine)  # noqa: E731
    turned = result_of(run, shape, given.dtype, [source], None, region)
    return turned if dtype is None or dtype == given.dtype else copied(turned, dtype)


def tensor_reduce(
    op: Any, data: Any, axis: Any, *, mask: Any = None, dtype: Any = None, negate: bool = False, keepdims: bool = False
) -> Tile:
    """The tile reduced over some of its free dimensions."""
    given = tile(data)
    named = [int(axis)] if isinstance(axis, (int, np.integer)) else [int(a) for a in axis]
    axes = sorted({a + given.ndim if a < 0 else a for a in named})
    kept = [a for a in range(given.ndim) if a not in axes]
    live = mask_of(mask, given.shape)
    rows = None
    if live is not None:
        given, rows = _masked(given, live, core_operator(op).name)
    turned = given if [*kept, *axes] == list(range(given.ndim)) else _permuted(given, (*kept, *axes))
    run = lambda dst, x: core.tensor_reduce(dst, core_operator(op), x, tuple(range(len(kept), given.ndim)), negate)  # noqa: E731
    shape = tuple(given.shape[a] for a in kept)
    result = _reduced(run, shape, dtype or given.dtype, turned, rows)
    full = tuple(1 if a in axes else result.shape[kept.index(a)] for a in range(given.ndim))
    return result.reshape(full) if keepdims or result.ndim < 2 else result


def _reduced(run: Any, shape: tuple[int, ...], dtype: Any, source: Tile, rows: tuple[int, int] | None) -> Tile:
    """The result, in the rows that the mask left."""
    if rows is None:
        return result_of(run, shape, dtype, [source])
    whole = (rows[1], *shape[1:]) if len(shape) > 1 else (rows[1], 1)
    result = result_of(lambda dst: None, whole, dtype, [], np.zeros((1,) * len(whole), bool))
    part = Tile(
        result.home, cropped(result.spread, (slice(rows[0], rows[0] + shape[0]), *[slice(0, n) for n in whole[1:]]))
    )
    issue(run, part, [source])
    return result


def _masked(given: Tile, live: Any, name: str) -> tuple[Tile, tuple[int, int]]:
    """The box that a mask leaves of a tile, with its first row and how many rows the tile had."""
    box, whole = box_of(live)
    if not whole:
        raise ArgumentError("a mask of a reduction is a box", f"another mask of {name}", "Select before reducing.")
    return Tile(given.home, cropped(given.spread, box)), (box[0].start, given.shape[0])


def _permuted(given: Tile, order: tuple[int, ...]) -> Tile:
    layout = given.spread.layout
    if layout is None:
        return _permuted(copied(given), order)
    turned = type(layout)(tuple(layout.shape[a] for a in order), tuple(layout.strides[a] for a in order), layout.offset)
    return Tile(given.home, type(given.spread)(turned))


def tensor_partition_reduce(op: Any, data: Any, mask: Any = None, dtype: Any = None) -> Tile:
    """The tile reduced over its partitions."""
    given = tile(data)
    run = lambda dst, x: core.tensor_partition_reduce(dst, core_operator(op), x)  # noqa: E731
    return result_of(run, (1, *given.shape[1:]), dtype or given.dtype, [given])


def bn_stats(data: Any, *, mask: Any = None, dtype: Any = None) -> Tile:
    """Count, mean and variance of each partition, [partitions, 6]."""
    return _in_rows(core.bn_stats, tile(data), 6, dtype, mask)


def bn_aggr(data: Any, *, mask: Any = None, dtype: Any = None) -> Tile:
    """Mean and variance of each partition, [partitions, 2], from what bn_stats gave."""
    return _in_rows(core.bn_aggr, tile(data), 2, dtype, mask)


def _in_rows(run: Any, given: Tile, columns: int, dtype: Any, mask: Any) -> Tile:
    live = mask_of(mask, given.shape)
    kind = dtype or given.dtype
    if live is None:
        return result_of(run, (given.shape[0], columns), kind, [given])
    part, rows = _masked(given, live, "rows")
    return _reduced(run, (part.shape[0], columns), kind, part, rows)


def max8(*, src: Any, mask: Any = None, dtype: Any = None) -> Tile:
    """The eight largest of each partition, in descending order."""
    return _in_rows(core.max8, tile(src), 8, dtype, mask)


def nc_find_index8(*, data: Any, vals: Any, mask: Any = None, dtype: Any = "uint32") -> Tile:
    """Where each partition's eight values stand."""
    given = tile(data)
    return result_of(core.nc_find_index8, (given.shape[0], 8), dtype or "uint32", [given, tile(vals)])


def nc_match_replace8(
    *, data: Any, vals: Any, imm: float, dst_idx: Any = None, mask: Any = None, dtype: Any = None
) -> Tile:
    """The data with the first occurrence of each of eight values replaced by a number."""
    given = tile(data)
    run = lambda dst, x, v, where: core.nc_match_replace8(dst, x, v, imm, where)  # noqa: E731
    return result_of(run, given.shape, dtype or given.dtype, [given, tile(vals), dst_idx])


def local_gather(
    src_buffer: Any, index: Any, num_elem_per_idx: int = 1, num_valid_indices: int | None = None, *, mask: Any = None
) -> Tile:
    """Elements that each group of partitions picks by index."""
    source, where = tile(src_buffer), tile(index)
    count = num_valid_indices or where.size // where.shape[0] * 16
    shape = (source.shape[0], count, num_elem_per_idx) if num_elem_per_idx > 1 else (source.shape[0], count)
    run = lambda dst, x, i: core.local_gather(dst, x, i, num_elem_per_idx, num_valid_indices)  # noqa: E731
    return result_of(run, shape, source.dtype, [source, where])


def nc_stream_shuffle(src: Any, dst: Tile, shuffle_mask: Any, *, dtype: Any = None, mask: Any = None) -> None:
    """Rows of 32 partitions in another order."""
    issue(lambda out, x: core.nc_stream_shuffle(out, x, list(shuffle_mask)), dst, [tile(src)], mask)


def sequence_bounds(*, segment_ids: Any, mask: Any = None, dtype: Any = None) -> Tile:
    """First and last position of each element's segment."""
    given = tile(segment_ids)
    return result_of(core.sequence_bounds, (given.shape[0], 2, *given.shape[1:]), dtype or given.dtype, [given])
