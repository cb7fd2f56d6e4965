# SPDX-License-Identifier: Apache-2.0
"""softmax and rms_norm."""

from __future__ import annotations

from typing import Any

from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.language import reductions
from nkisim.language.allocation import ndarray
from nkisim.language.elementwise import PRECISE, binary, tile_of, unary
from nkisim.memory import NkiTensor
from nkisim.operations.operators import operator


def softmax(x: Any, axis: Any = -1, dtype: Any = None) -> NkiTensor:
    """exp(x - max) over its sum, along the last free dimensions, computed in float32.

    x is a tile [P, ...] in SBUF or PSUM, axis the dimensions, dtype that of the result, by default x's. The result is a
    new SBUF tile of x's shape.

    Raises:
        ArgumentError: x is no tile on chip.
        ShapeError: axis names the partitions, or other dimensions than the last.
    """
    top = reductions.max(tile_of(x), axis, PRECISE, keepdims=True)
    powers = unary(operator("exp"), binary(operator("subtract"), x, top, PRECISE))
    inverse = unary(operator("reciprocal"), reductions.sum(powers, axis, keepdims=True))
    return binary(operator("multiply"), powers, inverse, dtype or x.dtype)


def rms_norm(
    x: Any, w: Any, axis: Any, n: int, epsilon: float = 1e-6, dtype: Any = None, compute_dtype: Any = None
) -> NkiTensor:
    """x / sqrt(sum(x * x) / n + epsilon) * w.

    x is a tile [P, ...], axis its last dimensions, over which squares are added, and n, as a rule, how many elements
    those have. w is a tile that broadcasts to x. compute_dtype is that of what is in between, float32 by default; dtype
    that of the result, a new SBUF tile of x's shape, by default x's.

    Raises:
        ArgumentError: x or w is no tile on chip.
        ShapeError: axis names other dimensions than the last, or w does not broadcast.
    """
    working = compute_dtype or PRECISE
    squares = unary(operator("square"), tile_of(x), working)
    total = reductions.sum(squares, axis, PRECISE, keepdims=True)
    mean = ndarray(total.shape, PRECISE)
    tensor_scalar(mean, total, operator("multiply"), 1.0 / n, op1=operator("add"), operand1=epsilon)
    scaled = binary(operator("multiply"), x, unary(operator("rsqrt"), mean), working)
    return binary(operator("multiply"), scaled, tile_of(w, "w"), dtype or x.dtype)
