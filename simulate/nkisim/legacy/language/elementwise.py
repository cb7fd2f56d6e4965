# SPDX-License-Identifier: Apache-2.0
"""Operators of `nl` on tiles and numbers, as functions and as Python's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.errors import ArgumentError
from nkisim.legacy.isa import elementwise as isa
from nkisim.legacy.isa.operands import in_sbuf, tile
from nkisim.legacy.issue import result_of
from nkisim.legacy.operators import CORE, DIVIDE, core_operator, promoted
from nkisim.legacy.tile import Tile
from nkisim.memory import NkiTensor
from nkisim.nki import isa as core
from nkisim.nki import language as current
from nkisim.operations.operators import Operator

COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor")


def unary(op: Operator, x: Any, dtype: Any, mask: Any) -> Tile:
    """`op` of a tile, by the engine whose operator it is."""
    given = tile(x, "x")

    def run(dst: NkiTensor, source: NkiTensor) -> None:
        if op.name == "rsqrt":
            core.activation(dst, op, source)
        elif op.name == "reciprocal":
            core.reciprocal(dst, source)
        elif op.activation:
            core.activation(dst, op, source)
        else:
            core.tensor_scalar(dst, source, op, None)

    return result_of(run, given.shape, dtype or given.dtype, [given], mask)


def binary(name: str, x: Any, y: Any, dtype: Any = None, mask: Any = None) -> Any:
    """`x op y` of tiles and numbers."""
    x, y = _operand(x), _operand(y)
    kind = dtype or ("uint8" if name in (*COMPARISONS, *LOGICAL) else promoted(x, y))
    if isinstance(x, Tile) and isinstance(y, Tile):
        if name == "power":
            x, y = in_sbuf(x), in_sbuf(y)
        return isa.tensor_tensor(x, y, name, dtype=kind, mask=mask)
    if isinstance(x, Tile):
        return isa.tensor_scalar(x, name, _number(y), dtype=kind, mask=mask)
    if isinstance(y, Tile):
        return isa.tensor_scalar(y, name, _number(x), True, dtype=kind, mask=mask)
    if name == DIVIDE:
        return np.divide(x, y)
    return core_operator(name).function(np.asarray(x), np.asarray(y))


def _operand(x: Any) -> Any:
    if isinstance(x, Tile) and x.buffer.is_hbm:
        raise ArgumentError("operators work on tiles on chip", f"{x!r}", "Load it with nl.load first.")
    return tile(x) if isinstance(x, np.ndarray) and x.ndim > 0 else x


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, (np.generic, np.ndarray)) else x


def _function(name: str) -> Callable[..., Any]:
    if CORE.get(name) is not None and CORE[name].arity == 1:

        def one(x: Any, *, dtype: Any = None, mask: Any = None, **_: Any) -> Any:
            return unary(CORE[name], x, dtype, mask)

        one.__name__ = name
        return one

    def two(x: Any, y: Any, *, dtype: Any = None, mask: Any = None) -> Any:
        return binary(name, x, y, dtype, mask)

    two.__name__ = name
    return two


FUNCTIONS: dict[str, Callable[..., Any]] = {name: _function(name) for name in (*CORE, DIVIDE)}


def by_core(name: str) -> Callable[..., Tile]:
    """A function of the current `nl` of one tile and numbers: `floor`, `sin`, ..."""

    def call(x: Any, *args: Any, dtype: Any = None, mask: Any = None) -> Tile:
        given = in_sbuf(x)

        def run(dst: NkiTensor, source: NkiTensor) -> None:
            core.tensor_copy(dst, getattr(current, name)(source, *args))

        return result_of(run, given.shape, dtype or given.dtype, [given], mask)

    call.__name__ = name
    return call


FUNCTIONS |= {name: by_core(name) for name in ("ceil", "floor", "trunc", "cos", "sin", "tan", "logical_not")}


def mod(x: Any, y: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """The remainder of x / y, with the sign of y."""
    return by_core("mod")(x, y, dtype=dtype, mask=mask)


def negative(x: Any, *, dtype: Any = None, mask: Any = None) -> Tile:
    """-x."""
    given = tile(x, "x")
    return isa.tensor_scalar(given, "multiply", -1.0, dtype=dtype, mask=mask)


FUNCTIONS |= {"mod": mod, "negative": negative}
