# SPDX-License-Identifier: Apache-2.0
"""Operators called on tiles: `nl.add(x, y)`, `nl.silu(x)`. The result is a new SBUF tile.

Operands are tiles, or one tile and a number. Tiles of one rank broadcast like NumPy arrays. The result has the data
type of the first tile unless `dtype` says otherwise.
"""

from __future__ import annotations

import builtins
from typing import Any

from nkisim.errors import ArgumentError, DtypeError, ShapeError
from nkisim.instructions.activation import activation
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.reciprocal import reciprocal
from nkisim.instructions.tensor_copy import tensor_copy
from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.instructions.tensor_tensor import tensor_tensor
from nkisim.language.allocation import ndarray
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.operations.operators import Operator, operator

PRECISE = "float32"


def tile_of(x: Any, operand: str = "x") -> NkiTensor:
    """`x`, which must be a tile on chip."""
    if not isinstance(x, NkiTensor) or not x.buffer.is_on_chip:
        raise ArgumentError(f"{operand} is a tile in SBUF or PSUM", f"{x!r}", "Bring it on chip with nl.load.")
    return x


def unary(op: Operator, x: Any, dtype: Any = None) -> NkiTensor:
    """`op` of a tile."""
    source = tile_of(x)
    dst = ndarray(source.shape, dtype or source.dtype)
    if op.name == "copy":
        tensor_copy(dst, source)
    elif op.name == "rsqrt":
        tensor_scalar(dst, source, op, 0.0)
    elif op.name == "reciprocal":
        reciprocal(dst, source)
    elif op.activation:
        activation(dst, op, source)
    else:
        tensor_scalar(dst, source, op, None)
    return dst


def binary(op: Operator, x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """`x op y`, of which at least one is a tile."""
    tiles = [t for t in (x, y) if isinstance(t, NkiTensor)]
    if not tiles:
        raise ArgumentError(f"one operand of nl.{op.name} is a tile", f"{x!r} and {y!r}", "Compute it in Python.")
    for operand in tiles:
        tile_of(operand, "an operand")
    if len(tiles) == 1:
        (tile,) = tiles
        dst = ndarray(tile.shape, dtype or tile.dtype)
        is_left = tile is x
        tensor_scalar(dst, tile, op, y if is_left else x, reverse0=not is_left)
        return dst
    shape = common_shape(x, y)
    left, right = broadcast(x, shape), broadcast(y, shape)
    if left.buffer is MemoryRegion.psum and right.buffer is MemoryRegion.psum:
        right = unary(operator("copy"), right)
    if op.bitwise and left.dtype != right.dtype:
        raise DtypeError("both tiles of a bit operation have one type", f"{x.dtype} and {y.dtype}", "Cast one.")
    dst = ndarray(shape, dtype or x.dtype)
    tensor_tensor(dst, left, right, op)
    return dst


def common_shape(x: NkiTensor, y: NkiTensor) -> tuple[int, ...]:
    """The shape two tiles broadcast to.

    Raises:
        ShapeError: there is none.
    """
    pairs = list(zip(x.shape, y.shape, strict=False))
    if x.ndim != y.ndim or any(a != b and 1 not in (a, b) for a, b in pairs):
        raise ShapeError(
            "tiles have one rank, and sizes that are equal or 1", f"{x.shape} and {y.shape}", "Reshape one of them."
        )
    return tuple(builtins.max(a, b) for a, b in pairs)


def broadcast(x: NkiTensor, shape: tuple[int, ...]) -> NkiTensor:
    """`x` seen as a tile of `shape`. Free dimensions repeat in a view; a single partition is copied to the others."""
    if x.shape[0] != shape[0]:
        rows = ndarray((shape[0], *x.shape[1:]), x.dtype)
        source = x if x.buffer is MemoryRegion.sbuf else unary(operator("copy"), x)
        for start in range(shape[0]):
            dma_copy(rows[start : start + 1], source)
        x = rows
    for axis in range(1, x.ndim):
        if x.shape[axis] != shape[axis]:
            x = x.broadcast(axis, shape[axis])
    return x


def cast(x: NkiTensor, dtype: Any) -> NkiTensor:
    """`x` itself if it has the type, else a copy that does."""
    return x if dtype is None or x.dtype == dtype else unary(operator("copy"), x, dtype)
