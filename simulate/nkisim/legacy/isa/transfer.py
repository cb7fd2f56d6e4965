# SPDX-License-Identifier: Apache-2.0
"""Transfers of NKI 0.1: between HBM and SBUF, and copies whose place is known when the kernel runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.legacy.isa.operands import copied, tile
from nkisim.legacy.issue import broadcast, issue, result_of
from nkisim.legacy.moving import put, values_of
from nkisim.legacy.operators import core_operator
from nkisim.legacy.programs import without_time
from nkisim.legacy.tile import Tile
from nkisim.memory import MemoryRegion
from nkisim.nki import isa as core
from nkisim.operations.enums import oob_mode as OobMode


def loaded(src: Tile, dtype: Any = None, mask: Any = None) -> Tile:
    """A tile in SBUF of a tensor's elements."""
    shape = src.shape if src.ndim > 1 else (*src.shape, 1) if src.ndim else (1, 1)
    part = src if src.ndim > 1 else Tile(src.home, src.reshape(shape).spread) if src.spread.inside is None else src
    return result_of(core.dma_copy, shape, dtype or src.dtype, [part], mask)


def stored(dst: Tile, value: Any, mask: Any = None) -> None:
    """Write a tile, or a number, to elements of a tensor in HBM."""
    if not isinstance(value, Tile):
        value = result_of(lambda made: core.memset(made, value), _two(dst.shape), dst.dtype, [])
    if value.buffer is MemoryRegion.psum:
        value = copied(value, dst.dtype)
    if value.shape != dst.shape:
        value = value.reshape(dst.shape) if value.size == dst.size else broadcast(value, dst.shape)
    issue(core.dma_copy, dst, [value], mask)


def _two(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) > 1 else (*shape, 1) if shape else (1, 1)


def dma_copy(
    *, dst: Tile, src: Tile, mask: Any = None, dst_rmw_op: Any = None, oob_mode: Any = OobMode.error,
    dge_mode: Any = None, **_: Any,
) -> None:  # fmt: skip
    """dst = src, or dst = dst <dst_rmw_op> src; rows out of bounds may be skipped."""
    live = None if mask is None else np.broadcast_to(mask, dst.shape)
    if OobMode(oob_mode) is OobMode.skip:
        live = _legal(dst, src, live)
        dst, src = _without_bounds(dst), _without_bounds(src)
    if dst_rmw_op is not None:
        accumulate(dst, src, dst_rmw_op, live)
        return
    source = src.reshape(dst.shape) if src.shape != dst.shape and src.size == dst.size else broadcast(src, dst.shape)
    issue(core.dma_copy, dst, [source], live)


def _legal(dst: Tile, src: Tile, live: Any) -> Any:
    for each in (dst, src):
        if each.spread.inside is not None:
            legal = np.broadcast_to(each.spread.inside, each.shape).reshape(dst.shape)
            live = legal if live is None else live & legal
    return live


def _without_bounds(x: Tile) -> Tile:
    return Tile(x.home, type(x.spread)(x.spread.layout, x.spread.positions))


def accumulate(dst: Tile, src: Tile, op: Any, live: Any = None) -> None:
    """dst = dst <op> src in memory, which has no instruction of its own in the core."""
    without_time()
    old = values_of(dst.home, dst.spread, live).astype(np.float32)
    new = values_of(src.home, src.spread, live).astype(np.float32).reshape(old.shape)
    put(dst.home, dst.spread, core_operator(op).function(old, new), live)


def dma_transpose(src: Tile, *, axes: Any = None, mask: Any = None, dtype: Any = None, **_: Any) -> Tile:
    """A tile with its axes exchanged by the DMA."""
    order = tuple(axes) if axes is not None else (*reversed(range(src.ndim)),) if src.ndim == 2 else None
    order = order or {3: (2, 1, 0), 4: (3, 1, 2, 0)}[src.ndim]
    layout = src.spread.layout
    if layout is not None and src.spread.inside is None and src.buffer.is_hbm:
        turned = type(layout)(
            tuple(layout.shape[a] for a in order), tuple(layout.strides[a] for a in order), layout.offset
        )
        return loaded(Tile(src.home, type(src.spread)(turned)), dtype)
    without_time()
    values = values_of(src.home, src.spread).transpose(order)
    made = result_of(lambda dst: None, values.shape, dtype or src.dtype, [])
    put(made.home, made.spread, values)
    return made


def tensor_copy_dynamic_src(src: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Tile:
    """A copy of what a dynamic index names."""
    given = tile(src, "src")
    return copied(given, dtype, mask)


def tensor_copy_dynamic_dst(*, dst: Tile, src: Any, mask: Any = None, **_: Any) -> None:
    """A copy to what a dynamic index names."""
    issue(core.tensor_copy, dst, [tile(src, "src")], mask)
