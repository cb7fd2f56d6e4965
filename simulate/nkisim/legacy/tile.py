# SPDX-License-Identifier: Apache-2.0
"""`Tile`: a tensor of NKI 0.1, or the part of one that an index names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nkisim.dtypes import Array, DType, dtype_of
from nkisim.errors import ArgumentError, ShapeError
from nkisim.legacy.homes import Home
from nkisim.legacy.indices import Spread, select
from nkisim.legacy.masks import check_inside
from nkisim.legacy.moving import in_core, values_of
from nkisim.memory import DynamicSlice, MemoryRegion, NkiTensor
from nkisim.memory.views import Layout, row_major

OPERATORS: dict[str, Callable[..., Any]] = {}
"""What Python's operators and item assignment do with tiles, by special name; the instructions fill it in."""


class Tile:
    """A view of a tensor in HBM, SBUF or PSUM.

    Attributes:
        home: the whole tensor; spread: which of its elements.
    """

    __array_ufunc__ = None  # so that NumPy leaves `array + tile` to the tile
    __hash__ = object.__hash__

    def __init__(self, home: Home, spread: Spread | None = None) -> None:
        self.home = home
        self.spread = spread or Spread(Layout(home.shape, row_major(home.shape), 0))

    @staticmethod
    def of(tensor: NkiTensor) -> Tile:
        """A tensor of the core that was just made, as a tile."""
        home = Home(tensor.shape, tensor.dtype, tensor.buffer)
        rows = (tensor.shape[0], tensor.size // tensor.shape[0])
        home.pieces[0] = tensor if tensor.buffer.is_hbm else tensor.reshape(rows)
        return Tile(home)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spread.shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> DType:
        return self.home.dtype

    @property
    def buffer(self) -> MemoryRegion:
        return self.home.region

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its tensor, as that was made."""
        layout = self.spread.layout
        return (
            layout is not None
            and layout.offset == 0
            and layout.shape == self.home.shape
            and (layout.strides == row_major(layout.shape))
        )

    def __repr__(self) -> str:
        return f"Tile({self.shape}, {self.dtype}, {self.buffer.value})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Tile:
        return Tile(self.home, select(self.spread, self._kept(_known(key))))

    def _kept(self, key: Any) -> Any:
        """On chip a partition named by a number stays a dimension of size 1."""
        parts = list(key) if isinstance(key, tuple) else [key]
        at = self.home.blocks - (len(self.home.shape) - self.ndim)
        plain = not any(isinstance(part, np.ndarray) or part is None or part is Ellipsis for part in parts[: at + 1])
        is_number = 0 <= at < len(parts) and isinstance(parts[at], (int, np.integer))
        if self.buffer.is_on_chip and plain and is_number and not any(isinstance(p, np.ndarray) for p in parts):
            parts[at] = slice(int(parts[at]), int(parts[at]) + 1)
        return tuple(parts)

    def __setitem__(self, key: Any, value: Any) -> None:
        OPERATORS["setitem"](self, key, value)

    def core(self) -> NkiTensor | None:
        """The tensor of the core behind it, if it is a strided part of one."""
        check_inside(self.spread.inside, None, self.shape, repr(self))
        return in_core(self.home, self.spread)

    def values(self) -> Array:
        """A copy of what it holds."""
        check_inside(self.spread.inside, None, self.shape, repr(self))
        return values_of(self.home, self.spread)

    def reshape(self, *sizes_given: Any, shape: Any = None) -> Tile:
        """The same elements in another shape; on chip the partition dimension stays."""
        shape = sizes_given if shape is None else (shape,)
        sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else tuple(shape)
        if -1 in sizes:
            rest = -math.prod(sizes)
            sizes = tuple(self.size // rest if size == -1 else size for size in sizes)
        if math.prod(sizes) != self.size:
            raise ShapeError("a reshape keeps the number of elements", f"{self.shape} to {sizes}", "Fix the sizes.")
        layout = self.spread.layout
        if layout is not None and layout.strides == row_major(layout.shape):
            return Tile(self.home, Spread(Layout(sizes, row_major(sizes), layout.offset)))
        return Tile(self.home, Spread(None, self.spread.numbers().reshape(sizes)))

    def view(self, dtype: Any) -> Tile:
        """The same bits as another type of the same size; a copy where the tile is a part of a tensor.

        Raises:
            ShapeError: the sizes differ.
        """
        kind = dtype_of(dtype)
        if kind.itemsize != self.dtype.itemsize or not self.is_whole or self.home.blocks:
            raise ShapeError("a view keeps the size of elements", f"{self!r} as {kind}", "Use a whole tensor.")
        home = replace(self.home, dtype=kind, pieces={0: self.home.piece(0).view(kind)}, contents={})
        return Tile(home, self.spread)

    def broadcast_to(self, *shape: Any) -> Tile:
        """Dimensions of size 1 repeated, without a copy."""
        sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else tuple(shape)
        return Tile(self.home, repeated(self.spread, sizes))

    def expand_dims(self, axis: int) -> Tile:
        """A new dimension of size 1."""
        at = axis + self.ndim + 1 if axis < 0 else axis
        return Tile(self.home, select(self.spread, (*[slice(None)] * at, None, Ellipsis)))

    def ap(self, *_: Any, **__: Any) -> Tile:
        raise ArgumentError("access patterns came after NKI 0.1", f".ap of {self!r}", "Index it, or import nki.")

    def astype(self, dtype: Any) -> Tile:
        """A copy of another type."""
        return OPERATORS["astype"](self, dtype)


def _known(key: Any) -> Any:
    """An index whose tiles, which are known when the kernel runs, are replaced by what they hold."""
    if isinstance(key, DynamicSlice):
        return DynamicSlice(_known(key.start), key.size)
    if isinstance(key, tuple):
        return tuple(_known(part) for part in key)
    if isinstance(key, Tile):
        held = key.values().astype(np.int64)
        return int(held.reshape(-1)[0]) if held.size == 1 else held
    if isinstance(key, slice):
        return slice(_known(key.start), _known(key.stop), _known(key.step))
    return key


def repeated(spread: Spread, sizes: tuple[int, ...]) -> Spread:
    """The view with dimensions of size 1 repeated to `sizes`.

    Raises:
        ShapeError: a dimension differs otherwise.
    """
    shape = spread.shape
    grown = (1,) * (len(sizes) - len(shape)) + shape
    if len(grown) != len(sizes) or any(a not in (1, b) for a, b in zip(grown, sizes, strict=True)):
        raise ShapeError("dimensions match, or are repeated from 1", f"{shape} to {sizes}", "Reshape it first.")
    if grown == sizes and spread.layout is not None and len(shape) == len(sizes):
        return spread
    if spread.layout is None:
        return Spread(None, np.broadcast_to(spread.numbers().reshape(grown), sizes))
    strides = (0,) * (len(sizes) - len(shape)) + spread.layout.strides
    kept = tuple(0 if a == 1 and b != 1 else stride for a, b, stride in zip(grown, sizes, strides, strict=True))
    return Spread(Layout(sizes, kept, spread.layout.offset))


def _deferred(name: str) -> Callable[..., Any]:
    def call(self: Tile, *others: Any) -> Any:
        return OPERATORS[name](self, *others)

    return call


for _name in ("add", "sub", "mul", "truediv", "pow", "mod", "and", "or", "xor", "lshift", "rshift"):
    for _form in ("{}", "r{}", "i{}"):
        setattr(Tile, f"__{_form.format(_name)}__", _deferred(_form.format(_name)))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "invert", "abs"):
    setattr(Tile, f"__{_name}__", _deferred(_name))
