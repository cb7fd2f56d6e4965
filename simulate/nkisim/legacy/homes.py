# SPDX-License-Identifier: Apache-2.0
"""Where the tiles of NKI 0.1 live: a tensor with dimensions before its partitions is a list of tiles of the core."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nkisim.dtypes import Array, DType
from nkisim.instructions.memset import memset
from nkisim.language.allocation import PartitionSize, ndarray
from nkisim.memory import MemoryRegion, NkiTensor, first_unwritten, read, resolve, write
from nkisim.memory.views import Layout


@dataclass(frozen=True)
class Placement:
    """A buffer of direct allocation.

    Attributes:
        region: SBUF or PSUM.
        address: partition and byte of a tile, from its block index, its partitions and its bytes a partition.
    """

    region: MemoryRegion
    address: Callable[[tuple[int, ...], int, int], tuple[int, int]]


@dataclass
class Home:
    """A whole tensor.

    Attributes:
        shape: all sizes; dtype; region: the memory.
        blocks: how many dimensions stand before the partitions; 0 in HBM, where the tensor is one piece.
        pieces: the tensors of the core by block number, made when they are first used.
        fill: what a piece holds when it is made, or None for nothing.
        contents: what pieces held that were given away, [partitions, width].
        sums: the parts that products were added to; assigned: whether anything else was written.
    """

    shape: tuple[int, ...]
    dtype: DType
    region: MemoryRegion
    blocks: int = 0
    pieces: dict[int, NkiTensor] = field(default_factory=dict)
    fill: float | None = None
    placement: Placement | None = None
    name: str = ""
    contents: dict[int, Array] = field(default_factory=dict)
    sums: set[Layout | None] = field(default_factory=set)
    assigned: bool = False

    @property
    def partitions(self) -> int:
        """Partitions of a piece on chip."""
        return self.shape[self.blocks]

    @property
    def width(self) -> int:
        """Elements a partition of a piece on chip."""
        return math.prod(self.shape[self.blocks + 1 :])

    def piece(self, block: int) -> NkiTensor:
        """The tile of a block, [partitions, width]."""
        if block not in self.pieces:
            self.pieces[block] = self._made(block)
        return self.pieces[block]

    def _made(self, block: int) -> NkiTensor:
        name = self.name if self.blocks == 0 else ""
        if self.placement is None:
            piece = ndarray((self.partitions, self.width), self.dtype, self.region, name)
        else:
            index = tuple(int(i) for i in np.unravel_index(block, self.shape[: self.blocks])) if self.blocks else ()
            at = self.placement.address(index, self.partitions, self.width * self.dtype.itemsize)
            piece = ndarray((self.partitions, self.width), self.dtype, self.region, name, at)
        if block in self.contents:
            write(resolve(piece), self.contents.pop(block))
        elif self.fill is not None:
            memset(piece, int(self.fill) if self.dtype.is_integer else self.fill)
        return piece

    def take(self, block: int, other: Home) -> Array | None:
        """Make the only piece of `other` that of a block here, which it could have been from the start.

        So what is assigned as a whole costs no copy. Who still has `other` finds its values there.

        Returns:
            What the piece holds; None, with nothing taken, where it does not fit.
        """
        own = (self.region, self.dtype, self.partitions, self.width, self.placement)
        if own != (other.region, other.dtype, other.partitions, other.width, other.placement) or other.blocks:
            return None
        piece = other.pieces.get(0)
        if piece is None or first_unwritten(region := resolve(piece)) is not None:
            return None
        other.contents[0] = read(region).copy()
        self.pieces[block] = other.pieces.pop(0)
        return other.contents[0]

    def located(self, layout: Layout) -> tuple[int, Layout] | None:
        """A strided pattern over the whole as block number and pattern over its piece; None if it is no such pattern.

        On chip the first dimension of the result steps over partitions, and no other does.
        """
        if self.region.is_hbm:
            return 0, layout
        width, whole = self.width, self.partitions * self.width
        block, rest = divmod(layout.offset, whole)
        partition, column = divmod(rest, width)
        step, free = 0, 0
        for axis, (size, stride) in enumerate(zip(layout.shape, layout.strides, strict=True)):
            if size == 1:
                continue
            if axis == 0 and stride and stride % width == 0:
                step = stride // width
            else:
                free += (size - 1) * stride
        rows = layout.shape[0] if step else 1
        if column + free >= width or column + free < 0 or not 0 <= partition + step * (rows - 1) < self.partitions:
            return None
        if step == 0 and layout.shape[0] > 1:
            return None
        strides = (width * (step or 1), *layout.strides[1:])
        return block, Layout(layout.shape, strides, partition * width + column)


def home_of(shape: Any, dtype: DType, region: MemoryRegion, **options: Any) -> Home:
    """The home of a new tensor; `nl.par_dim` says which dimension is the partition, else it is the first."""
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    at = next(_marked(given), 0) if region.is_on_chip else 0
    sizes = tuple(int(size) for size in given)
    return Home(sizes, dtype, region, at, **options)


def _marked(sizes: tuple[Any, ...]) -> Iterator[int]:
    yield from (axis for axis, size in enumerate(sizes) if isinstance(size, PartitionSize))
