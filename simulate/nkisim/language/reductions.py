# SPDX-License-Identifier: Apache-2.0
"""Reductions over the last free dimensions of a tile. Several names shadow Python's; inside, `builtins` is meant."""

from __future__ import annotations

import builtins
import math
from typing import Any

from nkisim.errors import ShapeError
from nkisim.instructions.tensor_reduce import tensor_reduce
from nkisim.language.allocation import ndarray
from nkisim.language.elementwise import PRECISE, binary, tile_of, unary
from nkisim.memory import NkiTensor
from nkisim.operations.operators import operator


def sum(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """Sum along the last free dimensions.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of what is left, at least [P, 1], in dtype, by default x's; keepdims leaves the others as sizes of 1.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    return reduced("add", x, axis, dtype, keepdims)


def prod(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """Product along the last free dimensions.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of what is left, at least [P, 1], in dtype, by default x's; keepdims leaves the others as sizes of 1.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    return reduced("multiply", x, axis, dtype, keepdims)


def max(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """Maximum along the last free dimensions.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of what is left, at least [P, 1], in dtype, by default x's; keepdims leaves the others as sizes of 1.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    return reduced("maximum", x, axis, dtype, keepdims)


def min(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """Minimum along the last free dimensions.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of what is left, at least [P, 1], in dtype, by default x's; keepdims leaves the others as sizes of 1.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    return reduced("minimum", x, axis, dtype, keepdims)


def all(x: Any, axis: Any, dtype: Any = None) -> NkiTensor:
    """1 where no element is 0 along the last free dimensions.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of what is left, at least [P, 1], in dtype, by default x's.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    return reduced("logical_and", x, axis, dtype, False)


def mean(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """Arithmetic mean along the last free dimensions, computed in float32.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of what is left, at least [P, 1], in dtype, by default x's; keepdims leaves the others as sizes of 1.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    total = reduced("add", x, axis, PRECISE, keepdims)
    return binary(operator("multiply"), total, 1.0 / _count(x, axis), dtype or x.dtype)


def var(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """Variance along the last free dimensions. As in AWS's, the reduced dimensions stay, whatever `keepdims` says.

    x is a tile [P, ...] in SBUF or PSUM, axis a dimension or several, which must be the last. The result is a new SBUF
    tile of x's shape with sizes of 1 in dtype, by default x's.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    apart = binary(operator("subtract"), x, mean(x, axis, PRECISE, keepdims=True), PRECISE)
    return mean(unary(operator("square"), apart), axis, dtype or x.dtype, keepdims=True)


def reduced(name: str, x: Any, axis: Any, dtype: Any, keepdims: bool) -> NkiTensor:
    """`x` reduced by an operator. Where no free dimension is left, one of size 1 stays."""
    source, axes = tile_of(x), reduced_axes(x, axis)
    kept = tuple(1 if i in axes else n for i, n in enumerate(source.shape) if keepdims or i not in axes)
    dst = ndarray(kept if len(kept) > 1 else (*kept, 1), dtype or source.dtype)
    tensor_reduce(dst, operator(name), source, axes)
    return dst


def reduced_axes(x: NkiTensor, axis: Any) -> tuple[int, ...]:
    """`axis` as non-negative dimensions, which must be the last free ones."""
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(sorted(a + x.ndim if a < 0 else a for a in given))
    if not axes or axes[0] < 1 or axes != tuple(range(axes[0], x.ndim)):
        raise ShapeError("the reduced dimensions are the last free ones", f"axis {axis} of {x.shape}", "Permute it.")
    return axes


def _count(x: NkiTensor, axis: Any) -> int:
    return math.prod(builtins.map(x.shape.__getitem__, reduced_axes(x, axis)))
