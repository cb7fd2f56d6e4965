# SPDX-License-Identifier: Apache-2.0
"""One instruction of NKI 0.1: a new tile, the mask cut to its box, and the instruction of the core that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nkisim.dtypes import Array, dtype_of
from nkisim.legacy.homes import home_of
from nkisim.legacy.masks import Slices, box_of, check_inside, mask_of
from nkisim.legacy.moving import cropped, in_core, put, values_of
from nkisim.legacy.programs import without_time
from nkisim.legacy.tile import Tile, repeated
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.nki import isa as core
from nkisim.operations.checks import start_partition

Run = Callable[..., Any]
_FROM = {0: 128, 32: 32, 64: 64, 96: 32}  # where engines start, and how many partitions they reach from there


def fresh(shape: tuple[int, ...], dtype: Any, region: MemoryRegion = MemoryRegion.sbuf) -> Tile:
    """An unwritten tile for the result of an instruction, [partition, free ...]."""
    return Tile(home_of(shape if len(shape) > 1 else (*shape, 1), dtype_of(dtype), region))


def result_of(
    run: Run, shape: tuple[int, ...], dtype: Any, sources: Sequence[Any], mask: Any = None,
    region: MemoryRegion = MemoryRegion.sbuf,
) -> Tile:  # fmt: skip
    """A new tile that `run(dst, *sources)` writes, as tensors of the core. Where the mask is not set it holds NaN."""
    tile = fresh(shape, dtype, region)
    if mask_of(mask, tile.shape) is not None:
        put(tile.home, tile.spread, np.nan if tile.dtype.kind == "float" else 0)
    issue(run, tile, sources, mask)
    return tile


def issue(run: Run, dst: Tile, sources: Sequence[Any], mask: Any = None) -> None:
    """Issue `run(dst, *sources)` for the elements of `dst` where the mask is set.

    A mask that is a box is a smaller instruction. Any other, and an index that is no strided pattern, is one on copies
    of its operands, whose copying has no time.
    """
    live = mask_of(mask, dst.shape)
    dst.home.assigned = True
    box, whole = box_of(live) if live is not None else (tuple(slice(0, n) for n in dst.shape), True)
    if any(one.start == one.stop for one in box):
        return
    for tile in (dst, *sources):
        if isinstance(tile, Tile) and tile.spread.inside is not None:
            check_inside(tile.spread.inside, _mask_for(tile, dst, live), tile.shape, repr(tile))
    target = in_core(dst.home, cropped(dst.spread, box)) if whole else None
    if target is not None and (run is core.dma_copy or reachable(target)):
        run(target, *[_operand(_cut(source, dst, box), run is core.dma_copy) for source in sources])
        return
    without_time()
    part = None if live is None else live[box]
    temporary = fresh(tuple(one.stop - one.start for one in box), dst.dtype, _on_chip(dst))
    held = [_staged(_cut(source, dst, box), part) for source in sources]
    run(in_core(temporary.home, temporary.spread), *held)
    put(dst.home, cropped(dst.spread, box), temporary.values().reshape(_sizes(box)), part)


def _sizes(box: Slices) -> tuple[int, ...]:
    return tuple(one.stop - one.start for one in box)


def _on_chip(dst: Tile) -> MemoryRegion:
    return dst.buffer if dst.buffer.is_on_chip else MemoryRegion.sbuf


def _mask_for(tile: Tile, dst: Tile, live: Array | None) -> Array | None:
    return live if live is not None and tile.shape == dst.shape else None


def _cut(source: Any, dst: Tile, box: Slices) -> Any:
    """The part of an operand that belongs to a box of the destination; dimensions of size 1 serve all of it."""
    if not isinstance(source, Tile):
        return source
    if source.ndim == dst.ndim:
        kept = tuple(
            one if size == whole else slice(0, size)
            for one, size, whole in zip(box, source.shape, dst.shape, strict=True)
        )
    else:
        first = box[0] if source.shape[0] == dst.shape[0] else slice(0, source.shape[0])
        kept = (first, *[slice(0, size) for size in source.shape[1:]])
    return Tile(source.home, cropped(source.spread, kept))


def reachable(tensor: NkiTensor) -> bool:
    """Whether engines can start at its first partition; the old compiler moved what they cannot."""
    if tensor.buffer.is_hbm:
        return True
    return tensor.shape[0] <= _FROM.get(start_partition(tensor), 0)


def _operand(source: Any, by_dma: bool) -> Any:
    if not isinstance(source, Tile):
        return source
    tensor = in_core(source.home, source.spread)
    return tensor if tensor is not None and (by_dma or reachable(tensor)) else _staged(source, None)


def _staged(source: Any, live: Array | None) -> Any:
    """A dense copy of an operand, without an instruction."""
    if not isinstance(source, Tile):
        return source
    touched = live if live is not None and source.shape == live.shape else None
    tensor = in_core(source.home, source.spread) if touched is None else None
    if tensor is not None and reachable(tensor):
        return tensor
    without_time()
    shape = source.shape if source.ndim > 1 else (*source.shape, 1)
    copy = fresh(shape, source.dtype, _on_chip(source))
    put(copy.home, copy.spread, values_of(source.home, source.spread, touched).reshape(shape))
    return in_core(copy.home, copy.spread)


def broadcast(tile: Tile, shape: tuple[int, ...]) -> Tile:
    """The tile with dimensions of size 1 repeated."""
    return tile if tile.shape == shape else Tile(tile.home, repeated(tile.spread, shape))


def whole_block(tile: Tile) -> int | None:
    """The number of the block that a view on chip is all of; None if it is not."""
    layout = tile.spread.layout
    if layout is None or not tile.buffer.is_on_chip or tile.spread.inside is not None:
        return None
    found = tile.home.located(layout)
    if found is None or tile.size != tile.home.partitions * tile.home.width or found[1].offset:
        return None
    expected = 1
    for size, stride in zip(reversed(layout.shape), reversed(layout.strides), strict=True):
        if size > 1 and stride != expected:
            return None
        expected *= size
    return found[0]
