# SPDX-License-Identifier: Apache-2.0
"""sin, cos, tan: range reduction, then the Scalar Engine's sine, which is good for -pi..pi only."""

from __future__ import annotations

import math
from typing import Any

from nkisim.instructions.activation import activation
from nkisim.instructions.scalar_tensor_tensor import scalar_tensor_tensor
from nkisim.instructions.tensor_scalar import tensor_scalar
from nkisim.language.allocation import ndarray
from nkisim.language.elementwise import PRECISE, binary, cast, tile_of, unary
from nkisim.memory import NkiTensor
from nkisim.operations.operators import operator

# 2 pi in three parts, of which the first two have so few bits that their products with a turn count are exact.
_TURN = (6.28125, 0.0019350051879882812, 3.0199157663446332e-07)
_PI = 3.1415925  # the float32 below pi


def sin(x: Any, dtype: Any = None) -> NkiTensor:
    """Sine of any angle x, in radians.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return _sine(tile_of(x), 0.0, dtype or x.dtype)


def cos(x: Any, dtype: Any = None) -> NkiTensor:
    """Cosine of any angle x, in radians, as a sine a quarter turn ahead.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return _sine(tile_of(x), math.pi / 2, dtype or x.dtype)


def tan(x: Any, dtype: Any = None) -> NkiTensor:
    """Tangent of any angle x, in radians, as sine over cosine.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    inverse = unary(operator("reciprocal"), cos(x, PRECISE))
    return binary(operator("multiply"), sin(x, PRECISE), inverse, dtype or x.dtype)


def _sine(x: NkiTensor, ahead: float, dtype: Any) -> NkiTensor:
    """sin(x + ahead): whole turns are taken off x, then the sine is looked up."""
    angle = cast(x, PRECISE)
    turns = ndarray(x.shape, "int32")  # the write rounds to the nearest integer
    tensor_scalar(turns, angle, operator("add"), ahead, op1=operator("multiply"), operand1=1 / math.tau)
    for part in _TURN:
        rest = ndarray(x.shape, PRECISE)
        scalar_tensor_tensor(rest, turns, operator("multiply"), -part, operator("add"), angle)
        angle = rest
    if ahead:
        angle = binary(operator("add"), angle, ahead)
    inside = ndarray(x.shape, PRECISE)
    tensor_scalar(inside, angle, operator("minimum"), _PI, op1=operator("maximum"), operand1=-_PI)
    result = ndarray(x.shape, dtype)
    activation(result, operator("sin"), inside)
    return result
