# SPDX-License-Identifier: Apache-2.0
"""Functions of tiles that take several operators: divide, logical_not, rounding and remainders."""

from __future__ import annotations

from typing import Any

from nkisim.errors import EngineError
from nkisim.instructions.tensor_copy_predicated import tensor_copy_predicated
from nkisim.language.elementwise import PRECISE, binary, cast, tile_of, unary
from nkisim.memory import NkiTensor
from nkisim.operations import device_rules
from nkisim.operations.operators import operator

_INTEGERS_ONLY = 2.0**23  # float32 numbers from here on have no fraction


def divide(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """x / y. AWS's simulator has it; its compiler for Trn2 is reported to find no instruction for it.

    x and y are tiles [P, ...] of one rank whose sizes are equal or 1, or one of them is a number. The result is a new
    SBUF tile in dtype, by default that of the first tile.

    Raises:
        ArgumentError: neither is a tile, or one is not on chip.
        ShapeError: the shapes do not broadcast.
        EngineError: in every run that raises findings, for that reason.
    """
    error = EngineError(
        "nl.divide compiles: a compiler for Trn2 found no such instruction",
        f"{x!r} / {y!r}",
        "Multiply by nl.reciprocal.",
    )
    device_rules.refused(error)
    return _quotient(x, y, dtype)


def _quotient(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """x times the reciprocal of y."""
    result = dtype or _first_tile(x, y).dtype
    inverse = unary(operator("reciprocal"), y, PRECISE) if _is_tile(y) else 1.0 / y
    return binary(operator("multiply"), x, inverse, result)


def negative(x: Any, dtype: Any = None) -> NkiTensor:
    """-x.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return binary(operator("multiply"), tile_of(x), -1, dtype)


def logical_not(x: Any, dtype: Any = None) -> NkiTensor:
    """1 where x is 0, else 0. AWS defines it for 0 and 1 only.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return binary(operator("logical_xor"), tile_of(x), 1, dtype)


def floor(x: Any, dtype: Any = None) -> NkiTensor:
    """The largest integer not above x.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return _rounded(x, "greater", "subtract", dtype)


def ceil(x: Any, dtype: Any = None) -> NkiTensor:
    """The smallest integer not below x.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    return _rounded(x, "less", "add", dtype)


def trunc(x: Any, dtype: Any = None) -> NkiTensor:
    """x without its fraction.

    x is a tile [P, ...] in SBUF or PSUM, dtype that of the result, by default x's. The result is a new SBUF tile of x's
    shape.

    Raises:
        ArgumentError: x is no tile on chip.
    """
    source = tile_of(x)
    size = floor(unary(operator("abs"), source, PRECISE))
    return binary(operator("multiply"), size, unary(operator("sign"), source, PRECISE), dtype or source.dtype)


def _rounded(x: Any, beyond: str, back: str, dtype: Any) -> NkiTensor:
    """The nearest integer, one step back where that lies beyond x. Large numbers, which are integers, stay."""
    source = cast(tile_of(x), PRECISE)
    nearest = cast(cast(source, "int32"), PRECISE)
    step = binary(operator(beyond), nearest, source, PRECISE)
    result = binary(operator(back), nearest, step, PRECISE)
    small = binary(operator("less"), unary(operator("abs"), source), _INTEGERS_ONLY, "uint8")
    tensor_copy_predicated(result, source, small, reverse_pred=True)
    return cast(result, dtype or x.dtype)


def fmod(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """The remainder of x / y, with the sign of x.

    x and y are tiles [P, ...] of one rank whose sizes are equal or 1, or one of them is a number. The result is a new
    SBUF tile in dtype, by default that of the first tile.

    Raises:
        ArgumentError: neither is a tile, or one is not on chip.
        ShapeError: the shapes do not broadcast.
    """
    return binary(operator("multiply"), _size_of_remainder(x, y), _sign(x), dtype or _first_tile(x, y).dtype)


def mod(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """The remainder of x / y, with the sign of y.

    x and y are tiles [P, ...] of one rank whose sizes are equal or 1, or one of them is a number. The result is a new
    SBUF tile in dtype, by default that of the first tile.

    Raises:
        ArgumentError: neither is a tile, or one is not on chip.
        ShapeError: the shapes do not broadcast.
    """
    rest = binary(operator("multiply"), _size_of_remainder(x, y), _sign(x), PRECISE)
    opposite = binary(operator("less"), binary(operator("multiply"), rest, _sign(y), PRECISE), 0, PRECISE)
    return binary(
        operator("add"), rest, binary(operator("multiply"), opposite, y, PRECISE), dtype or _first_tile(x, y).dtype
    )


def _size_of_remainder(x: Any, y: Any) -> NkiTensor:
    """|x| modulo |y|: the estimate by the rounded quotient, brought into 0 <= r < |y|."""
    top, bottom = _absolute(x), _absolute(y)
    quotient = floor(_quotient(top, bottom, PRECISE))
    rest = binary(operator("subtract"), top, binary(operator("multiply"), quotient, bottom, PRECISE), PRECISE)
    low = binary(operator("less"), rest, 0, PRECISE)
    rest = binary(operator("add"), rest, binary(operator("multiply"), low, bottom, PRECISE), PRECISE)
    high = binary(operator("greater_equal"), rest, bottom, PRECISE)
    return binary(operator("subtract"), rest, binary(operator("multiply"), high, bottom, PRECISE), PRECISE)


def _absolute(x: Any) -> Any:
    return unary(operator("abs"), x, PRECISE) if _is_tile(x) else abs(x)


def _sign(x: Any) -> Any:
    return unary(operator("sign"), x, PRECISE) if _is_tile(x) else (x > 0) - (x < 0)


def _is_tile(x: Any) -> bool:
    return isinstance(x, NkiTensor)


def _first_tile(x: Any, y: Any) -> NkiTensor:
    return x if _is_tile(x) else tile_of(y, "y")
