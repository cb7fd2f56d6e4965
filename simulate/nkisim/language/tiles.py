# SPDX-License-Identifier: Apache-2.0
"""Moving tiles: load, store, transpose, matmul, and views with another shape."""

from __future__ import annotations

from typing import Any

from nkisim.errors import BufferRuleError, ShapeError
from nkisim.instructions.activation import activation
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.nc_matmul import nc_matmul
from nkisim.instructions.nc_transpose import nc_transpose
from nkisim.instructions.tensor_copy import tensor_copy
from nkisim.language.allocation import ndarray
from nkisim.language.elementwise import broadcast, cast, tile_of, unary
from nkisim.memory import MemoryRegion, NkiTensor, described
from nkisim.operations.operators import operator


def load(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """An SBUF tile with the values of an HBM tensor."""
    tile = ndarray(src.shape if src.ndim > 1 else (1, *src.shape), dtype or src.dtype)
    dma_copy(tile, src)
    return tile


def load_transpose2d(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """An SBUF tile with the transposed values of a two-dimensional HBM tensor; the DMA does the transposing."""
    if not isinstance(src, NkiTensor) or not src.buffer.is_hbm:
        raise BufferRuleError("load_transpose2d loads from HBM", described(src), "Use nl.transpose for tiles.")
    if src.ndim != 2:
        raise ShapeError("load_transpose2d takes two dimensions", f"{src.shape}", "Flatten the others.")
    tile = ndarray((src.shape[1], src.shape[0]), dtype or src.dtype)
    dma_copy(tile, src.permute((1, 0)))
    return tile


def store(dst: NkiTensor, value: NkiTensor) -> NkiTensor:
    """Write an SBUF tile to an HBM tensor."""
    dma_copy(dst, value)
    return dst


def copy(x: Any, dtype: Any = None) -> NkiTensor:
    """A copy of `x` in SBUF by the Scalar Engine, which takes all but MX-packed elements through fp32."""
    source = tile_of(x)
    tile = ndarray(source.shape, dtype or source.dtype)
    if source.dtype.kind == "packed":
        tensor_copy(tile, source)
    else:
        activation(tile, operator("copy"), source)
    return tile


def expand_dims(x: Any, axis: int) -> NkiTensor:
    """A view of `x` with one more dimension, of size 1, at position `axis`."""
    return tile_of(x).expand_dim(axis + x.ndim + 1 if axis < 0 else axis)


def broadcast_to(x: Any, shape: Any, dtype: Any = None) -> NkiTensor:
    """`x` repeated to `shape`, of the same rank; `x` itself if it has that shape and type."""
    wanted = tuple(shape)
    if tile_of(x).shape == wanted:
        return cast(x, dtype)
    if x.ndim != len(wanted) or any(a not in (1, b) for a, b in zip(x.shape, wanted, strict=False)):
        raise ShapeError("dimensions match, or are repeated from 1", f"{x.shape} to {wanted}", "Reshape it first.")
    tile = ndarray(wanted, dtype or x.dtype)
    tensor_copy(tile, broadcast(x, wanted))
    return tile


def transpose(x: Any, dtype: Any = None) -> NkiTensor:
    """A PSUM tile with partitions and columns of a two-dimensional tile exchanged."""
    if tile_of(x).ndim != 2:
        raise ShapeError("nl.transpose takes two dimensions", f"{x.shape}", "Flatten the free dimensions.")
    source = cast(_in_sbuf(x), dtype)
    result = ndarray((x.shape[1], x.shape[0]), source.dtype, MemoryRegion.psum)
    nc_transpose(result, source)
    return result


def matmul(x: Any, y: Any, transpose_x: bool = False) -> NkiTensor:
    """x @ y in PSUM, float32; with transpose_x the first operand is given as [K, M]."""
    if tile_of(x).ndim != 2 or tile_of(y, "y").ndim != 2:
        raise ShapeError("nl.matmul takes two dimensions", f"{x.shape} and {y.shape}", "Flatten the free dimensions.")
    stationary = x if transpose_x else _in_sbuf(transpose(x))
    result = ndarray((stationary.shape[1], y.shape[1]), "float32", MemoryRegion.psum)
    nc_matmul(result, stationary, y)
    return result


def _in_sbuf(x: NkiTensor) -> NkiTensor:
    return x if x.buffer is MemoryRegion.sbuf else unary(operator("copy"), x)
