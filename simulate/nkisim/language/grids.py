# SPDX-License-Identifier: Apache-2.0
"""`nl.tiles` and `nl.blocks`: a tensor navigated by the coordinates of its tiles, or of blocks of tiles. Views only.

Follows the pages of NKI 0.7. What they leave open is refused: untiled leading dimensions, coordinates known only on the
device, and the operand of a selection that is no rectangle of the source (every other tile, or on-chip tiles of several
rows, which lie in one).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nkisim.dtypes import DType
from nkisim.errors import ArgumentError, GridError, NotSimulated, OutOfBounds
from nkisim.memory import MemoryRegion, NkiTensor, RegisterValue
from nkisim.memory.views import row_major

_PAGES = "See docs/simulator/coverage.md."


class Axis(NamedTuple):
    """One dimension of a grid: cells of `tile * group` elements over a stretch of the source, some of them selected.

    Attributes:
        first, extent: the stretch, in elements of the source; its last cell may be cut short.
        tile, group: elements a tile, tiles a cell.
        start, cells, step: the first selected cell, how many, and from one to the next.
        taken: whether an integer selected the one cell, so that the dimension is no coordinate any more.
    """

    first: int
    extent: int
    tile: int
    group: int
    start: int
    cells: int
    step: int = 1
    taken: bool = False

    @classmethod
    def over(cls, first: int, extent: int, tile: int, group: int) -> Axis:
        """All cells of a stretch."""
        return cls(first, extent, tile, group, 0, -(-extent // (tile * group)))

    @property
    def cell(self) -> int:
        """Elements of a whole cell."""
        return self.tile * self.group

    @property
    def elements(self) -> int:
        """Elements of the selected cells."""
        last = self.start + (self.cells - 1) * self.step
        return (self.cells - 1) * self.cell + min(self.cell, self.extent - last * self.cell)

    @property
    def stretch(self) -> tuple[int, int] | None:
        """First element and size of the selection; None where it has gaps."""
        gaps = self.step > 1 and self.cells > 1
        return None if gaps else (self.first + self.start * self.cell, self.elements)

    def select(self, item: Any, position: int) -> Axis:
        """The cells an integer or a slice takes."""
        if isinstance(item, slice):
            return self._slice(item, position)
        if isinstance(item, RegisterValue):
            raise NotSimulated("coordinates of a grid are Python integers", f"{item!r}", _PAGES)
        if not isinstance(item, int) or isinstance(item, bool):
            raise ArgumentError("grids are indexed by integers and slices", f"{item!r}", "Compute it from constants.")
        index = item + self.cells if item < 0 else item
        if not 0 <= index < self.cells:
            raise _outside(item, self.cells, position)
        return self._replace(start=self.start + index * self.step, cells=1, step=1, taken=True)

    def _slice(self, item: slice, position: int) -> Axis:
        bounds = [bound for bound in (item.start, item.stop, item.step) if bound is not None]
        if any(type(bound) is not int for bound in bounds) or (item.step or 1) < 1:
            raise ArgumentError(
                "a slice of a grid has integer bounds and a positive step", f"{item}", "Compute it from constants."
            )
        cells = range(*item.indices(self.cells))
        if not cells or not -self.cells <= (item.stop or 0) <= self.cells:
            raise _outside(item, self.cells, position)
        return self._replace(start=self.start + cells.start * self.step, cells=len(cells), step=self.step * cells.step)


def _outside(item: Any, count: int, position: int) -> OutOfBounds:
    return OutOfBounds(
        "an index of a grid selects at least one cell", f"{item} of {count} at coordinate {position}", "Clip it."
    )


class PlainSource:
    """Elements lie as in a tensor."""

    def __init__(self, tensor: NkiTensor) -> None:
        self.tensor = tensor

    def operand(self, stretches: list[tuple[int, int]]) -> NkiTensor | None:
        """The rectangle as a view."""
        return self.tensor[tuple(slice(first, first + size) for first, size in stretches)]


class PackedSource:
    """Whole tiles lie one behind the other in the columns of an on-chip tensor of two dimensions."""

    def __init__(self, tensor: NkiTensor, tile_shape: tuple[int, ...], counts: tuple[int, ...]) -> None:
        self.tensor, self.tile_shape, self._steps = tensor, tile_shape, row_major(counts)

    def operand(self, stretches: list[tuple[int, int]]) -> NkiTensor | None:
        """One tile, or neighbours of one row of two-dimensional tiles; None for anything else."""
        pairs = list(zip(stretches, self.tile_shape, strict=True))
        sizes = [size for _, size in stretches]
        alone = [size <= tile for (_, size), tile in pairs]
        if not (all(alone) or (len(pairs) == 2 and alone[0])):
            return None
        strides = row_major(self.tile_shape)
        slot = sum(first // tile * step for ((first, _), tile), step in zip(pairs, self._steps, strict=True))
        pattern = [[stride, size] for stride, size in zip((self.tensor.strides[0], *strides[1:]), sizes, strict=True)]
        return self.tensor.ap(pattern, offset=slot * strides[0])


class NkiGrid:
    """What grids of tiles and of blocks have in common. Made by `nl.tiles` and `nl.blocks`, never directly."""

    def __init__(self, source: PlainSource | PackedSource, axes: tuple[Axis, ...]) -> None:
        self.source, self.axes = source, axes

    dtype: DType = property(lambda self: self.source.tensor.dtype)  # type: ignore[assignment]
    buffer: MemoryRegion = property(lambda self: self.source.tensor.buffer)  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each coordinate that no integer has taken."""
        return tuple(axis.cells for axis in self._coordinates())

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Elements of a whole tile."""
        return tuple(axis.tile for axis in self.axes)

    @property
    def element_shape(self) -> tuple[int, ...]:
        """Elements of the selection along each dimension of the source; what lies beyond its end is not counted."""
        return tuple(axis.elements for axis in self.axes)

    @property
    def index_step_elements(self) -> tuple[int, ...]:
        """Elements of the source from one cell to the next, along each coordinate."""
        return tuple(axis.step * axis.cell for axis in self._coordinates())

    @property
    def is_remainder(self) -> bool:
        """Refused: the page does not say whether it means the whole selection, its last cell, or each dimension."""
        raise NotSimulated("what is_remainder compares is not documented", f"{self!r}", "Compare element_shape.")

    @property
    def is_data_representable(self) -> bool:
        """Whether `data` is one operand.

        Raises:
            NotSimulated: as `data`.
        """
        return self.data is not None

    @property
    def data(self) -> NkiTensor:
        """The selection as one operand of the shape `element_shape`.

        Raises:
            NotSimulated: it is no rectangle of the source; the page does not give its operand.
        """
        stretches = [axis.stretch for axis in self.axes]
        whole = [stretch for stretch in stretches if stretch is not None]
        operand = self.source.operand(whole) if len(whole) == len(stretches) else None
        if operand is None:
            raise NotSimulated(
                "data is a rectangle of the source, or on chip of one row of tiles",
                f"{self!r} in {self.buffer.value}",
                "Select fewer cells: their order in one operand is not documented.",
            )
        return operand

    def __getitem__(self, key: Any) -> Any:
        """A grid of the same kind: integers take a coordinate away, slices keep it."""
        keys = key if isinstance(key, tuple) else (key,)
        open_axes = [number for number, axis in enumerate(self.axes) if not axis.taken]
        if len(keys) > len(open_axes):
            raise ArgumentError(f"this grid has {len(open_axes)} coordinates", f"{key!r}", "Drop the extra ones.")
        axes = list(self.axes)
        for position, (number, item) in enumerate(zip(open_axes, keys, strict=False)):
            axes[number] = axes[number].select(item, position)
        return type(self)(self.source, tuple(axes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, elements={self.element_shape}, tile={self.tile_shape})"

    def _coordinates(self) -> Iterator[Axis]:
        return (axis for axis in self.axes if not axis.taken)


class NkiTileGrid(NkiGrid):
    """A tensor navigated by coordinates of its tiles."""


class NkiBlockGrid(NkiGrid):
    """A tensor navigated by coordinates of blocks of its tiles."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Tiles of a whole block."""
        return tuple(axis.group for axis in self.axes)


def tiles(source: Any, *, tile_shape: tuple[int, ...] | None = None) -> NkiTileGrid:
    """`source`, a tensor or a grid, as a grid of tiles; a block shows the tiles inside it.

    Args:
        tile_shape: elements a tile, at least two dimensions. A grid keeps its own unless given.

    Raises:
        ArgumentError, GridError: the shape is no tuple of integers, or does not fit the source.
    """
    backing, stretches, sizes = _regions(source, tile_shape)
    return NkiTileGrid(backing, _axes(stretches, sizes, (1,) * len(sizes)))


def blocks(source: Any, *, tile_shape: tuple[int, ...] | None = None, block_shape: tuple[int, ...]) -> NkiBlockGrid:
    """`source`, a tensor or a grid, as a grid of blocks of `block_shape` tiles of `tile_shape`, as of `tiles`.

    Raises:
        ArgumentError, GridError: as `tiles`, or the two shapes have different ranks.
    """
    backing, stretches, sizes = _regions(source, tile_shape)
    return NkiBlockGrid(backing, _axes(stretches, sizes, checked_blocks(block_shape, sizes)))


def _axes(stretches: list[tuple[int, int]], tile_shape: tuple[int, ...], group: tuple[int, ...]) -> tuple[Axis, ...]:
    sizes = zip(stretches, tile_shape, group, strict=True)
    return tuple(Axis.over(first, extent, tile, tiles) for (first, extent), tile, tiles in sizes)


def _regions(source: Any, tile_shape: Any) -> tuple[PlainSource | PackedSource, list[tuple[int, int]], tuple[int, ...]]:
    """Where the elements are, which of them along each dimension, and the shape of a tile."""
    if isinstance(source, NkiTensor):
        if tile_shape is None:
            raise ArgumentError("a tensor is tiled by a tile_shape", "None", "Pass tile_shape=.")
        whole = [(0, size) for size in source.shape]
        return PlainSource(source), whole, checked_tile(tile_shape, source.shape)
    if not isinstance(source, NkiGrid):
        raise ArgumentError("tensors and grids have tiles", f"{type(source).__name__}", "Pass an NkiTensor.")
    sizes = source.tile_shape if tile_shape is None else checked_tile(tile_shape, source.element_shape)
    if isinstance(source.source, PackedSource) and sizes != source.tile_shape:
        raise NotSimulated("allocated tiles keep their shape", f"{source.tile_shape} as {sizes}", _PAGES)
    stretches = [axis.stretch for axis in source.axes]
    if any(stretch is None for stretch in stretches):
        raise NotSimulated("cells with gaps between them are not tiled again", f"{source!r}", _PAGES)
    return source.source, [stretch for stretch in stretches if stretch is not None], sizes


def checked_tile(tile_shape: Any, element_shape: tuple[int, ...]) -> tuple[int, ...]:
    """`tile_shape`, if it tiles every dimension of `element_shape`."""
    shape = checked_shape("tile_shape", tile_shape)
    if not 2 <= len(shape) <= len(element_shape):
        raise GridError(
            "a tile has at least two dimensions and no more than its source", f"{shape} of {element_shape}", "Fix it."
        )
    if len(shape) < len(element_shape):
        raise NotSimulated(
            "tile_shape names every dimension: which shape a slab's operand has is not documented",
            f"{shape} of {element_shape}",
            "Index the leading dimensions of the tensor first.",
        )
    return shape


def checked_blocks(block_shape: Any, tile_shape: tuple[int, ...]) -> tuple[int, ...]:
    """`block_shape`, if it has the rank of `tile_shape`."""
    shape = checked_shape("block_shape", block_shape)
    if len(shape) != len(tile_shape):
        raise GridError("block_shape has the rank of tile_shape", f"{shape} and {tile_shape}", "Count every dimension.")
    return shape


def checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    """`shape`, if it is a tuple of positive Python integers."""
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape):
        raise ArgumentError(f"{name} is a tuple of Python integers", f"{shape!r}", "Compute it from constants.")
    if not all(size > 0 for size in shape):
        raise GridError(f"{name} is positive", f"{shape}", "Fix it.")
    return shape
