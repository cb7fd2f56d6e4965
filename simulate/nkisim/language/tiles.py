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
    """An SBUF tile with the values of an HBM tensor.

    src is [P, ...] with at most 128 partitions, or one-dimensional, which becomes one partition. dtype is that of the
    tile, by default src's.

    Raises:
        PartitionError, ShapeError: there is no tile of this shape.
    """
    tile = ndarray(src.shape if src.ndim > 1 else (1, *src.shape), dtype or src.dtype)
    dma_copy(tile, src)
    return tile


def load_transpose2d(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """An SBUF tile [C, R] with the transposed values of an HBM tensor src [R, C]; the DMA does the transposing.

    C is at most 128. dtype is that of the tile, by default src's.

    Raises:
        BufferRuleError: src is not in HBM.
        ShapeError, PartitionError: src has not two dimensions, or too many columns.
    """
    if not isinstance(src, NkiTensor) or not src.buffer.is_hbm:
        raise BufferRuleError("load_transpose2d loads from HBM", described(src), "Use nl.transpose for tiles.")
    if src.ndim != 2:
        raise ShapeError("load_transpose2d takes two dimensions", f"{src.shape}", "Flatten the others.")
    tile = ndarray((src.shape[1], src.shape[0]), dtype or src.dtype)
    dma_copy(tile, src.permute((1, 0)))
    return tile


def store(dst: NkiTensor, value: NkiTensor) -> NkiTensor:
    """Write a tile `value` in SBUF to an HBM tensor `dst` with as many elements, cast to its data type. Returns dst.

    Raises:
        ShapeError: they have not the same number of elements.
        BufferRuleError: value is in PSUM, which DMA does not reach.
    """
    dma_copy(dst, value)
    return dst


def copy(x: Any, dtype: Any = None) -> NkiTensor:
    """A copy of `x` in SBUF by the Scalar Engine, which takes all but MX-packed elements through fp32.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    source = tile_of(x)
    tile = ndarray(source.shape, dtype or source.dtype)
    if source.dtype.kind == "packed":
        tensor_copy(tile, source)
    else:
        activation(tile, operator("copy"), source)
    return tile


def expand_dims(x: Any, axis: int) -> NkiTensor:
    """A view of a tile `x` with one more dimension, of size 1, at position `axis`; negative ones count from the end.

    The partitions stay dimension 0.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return tile_of(x).expand_dim(axis + x.ndim + 1 if axis < 0 else axis)


def broadcast_to(x: Any, shape: Any, dtype: Any = None) -> NkiTensor:
    """A tile `x` repeated to `shape`, of the same rank; `x` itself if it has that shape and type.

    Each size of x is that of shape or 1. dtype is that of the result, by default x's. Partitions take a transfer each:
    of a row in HBM, `nisa.dma_copy(dst=tile, src=row.broadcast(0, 128))` is one for all.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: a size is neither.
    """
    wanted = tuple(shape)
    if tile_of(x).shape == wanted:
        return cast(x, dtype)
    if x.ndim != len(wanted) or any(a not in (1, b) for a, b in zip(x.shape, wanted, strict=False)):
        raise ShapeError("dimensions match, or are repeated from 1", f"{x.shape} to {wanted}", "Reshape it first.")
    tile = ndarray(wanted, dtype or x.dtype)
    tensor_copy(tile, broadcast(x, wanted))
    return tile


def transpose(x: Any, dtype: Any = None) -> NkiTensor:
    """A PSUM tile [C, P] with partitions and columns of a tile x [P, C] exchanged; C is at most 128.

    dtype is that of the result, by default x's.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: it has not two dimensions.
    """
    if tile_of(x).ndim != 2:
        raise ShapeError("nl.transpose takes two dimensions", f"{x.shape}", "Flatten the free dimensions.")
    source = cast(_in_sbuf(x), dtype)
    result = ndarray((x.shape[1], x.shape[0]), source.dtype, MemoryRegion.psum)
    nc_transpose(result, source)
    return result


def matmul(x: Any, y: Any, transpose_x: bool = False) -> NkiTensor:
    """x [M, K] @ y [K, N] in PSUM, float32; with transpose_x the first operand is given as [K, M].

    K and M are at most 128; N is at most 512 on Trn2, 4096 on Trn3. x and y are tiles; without transpose_x, x is turned
    by another product first.

    Raises:
        ArgumentError: x or y is no tile on chip.
        ShapeError: they have not two dimensions each, or too many columns.
        BufferRuleError: y is in PSUM.
    """
    if tile_of(x).ndim != 2 or tile_of(y, "y").ndim != 2:
        raise ShapeError("nl.matmul takes two dimensions", f"{x.shape} and {y.shape}", "Flatten the free dimensions.")
    stationary = x if transpose_x else _in_sbuf(transpose(x))
    result = ndarray((stationary.shape[1], y.shape[1]), "float32", MemoryRegion.psum)
    nc_matmul(result, stationary, y)
    return result


def _in_sbuf(x: NkiTensor) -> NkiTensor:
    return x if x.buffer is MemoryRegion.sbuf else unary(operator("copy"), x)
