"""Functions of tiles: load, store, and operators called as functions."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ArgumentError
from nkisim.instructions.activation import activation
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.operators import OPERATORS, Operator
from nkisim.instructions.tensor_copy import tensor_copy
from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.instructions.tensor_tensor import tensor_tensor
from nkisim.language.allocation import ndarray
from nkisim.memory import NkiTensor


def load(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """An SBUF tile with the values of an HBM tensor."""
    tile = ndarray(src.shape if src.ndim > 1 else (1, *src.shape), dtype or src.dtype)
    dma_copy(tile, src)
    return tile


def store(dst: NkiTensor, value: NkiTensor) -> NkiTensor:
    """Write an SBUF tile to an HBM tensor."""
    dma_copy(dst, value)
    return dst


def copy(x: NkiTensor, dtype: Any = None) -> NkiTensor:
    """A new SBUF tile with the values of `x`."""
    tile = ndarray(x.shape, dtype or x.dtype)
    tensor_copy(tile, x)
    return tile


def _on_tiles(op: Operator, x: Any, y: Any = None, dtype: Any = None) -> NkiTensor:
    """`op` on tiles and scalars, into a new SBUF tile of the first tile's dtype."""
    tiles = [t for t in (x, y) if isinstance(t, NkiTensor)]
    if not tiles or (op.arity == 2 and y is None) or (op.arity == 1 and y is not None):
        raise ArgumentError(f"nl.{op.name} takes {op.arity} operands, one a tile", f"{x!r}, {y!r}", "Pass tiles.")
    dst = ndarray(tiles[0].shape, dtype or tiles[0].dtype)
    if op.name == "copy":
        tensor_copy(dst, x)
    elif op.arity == 1 and op.activation:
        activation(dst, op, x)
    elif op.arity == 1:
        tensor_scalar(dst, x, op, None)
    elif len(tiles) == 2:
        tensor_tensor(dst, x, y, op)
    else:
        reverse = tiles[0] is y
        tensor_scalar(dst, tiles[0], op, x if reverse else y, reverse0=reverse)
    return dst


for _operator in OPERATORS.values():
    _operator.on_tiles = _on_tiles
