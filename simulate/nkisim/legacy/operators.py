# SPDX-License-Identifier: Apache-2.0
"""Operators as NKI 0.1 named them, functions of NumPy among them, and the types of results."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import DTYPES, DType, dtype_of
from nkisim.errors import ArgumentError
from nkisim.legacy.tile import Tile
from nkisim.operations.operators import OPERATORS as CORE
from nkisim.operations.operators import Operator

_OTHER_NAMES = {
    "sum": "add", "max": "maximum", "amax": "maximum", "min": "minimum", "amin": "minimum", "prod": "multiply",
    "absolute": "abs", "true_divide": "divide", "bitwise_not": "invert", "float_power": "power",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift", "identity": "copy",
}  # fmt: skip

DIVIDE = "divide"


def name_of(op: Any) -> str:
    """The name of an operator, a function of `nl` or one of NumPy."""
    name = str(getattr(op, "__name__", op))
    return _OTHER_NAMES.get(name, name)


def core_operator(op: Any) -> Operator:
    """The operator of the core.

    Raises:
        ArgumentError: there is none.
    """
    name = name_of(op)
    if name not in CORE:
        raise ArgumentError("an operator of nl or NumPy that the engines have", f"{op!r}", "Use nl.add, nl.exp, ...")
    return CORE[name]


def scalar_type(value: Any) -> DType:
    """The type of a number: that of a NumPy scalar, else the widest of its kind."""
    if isinstance(value, np.generic):
        try:
            return dtype_of(value.dtype)
        except TypeError:
            return DTYPES["float32" if value.dtype.kind == "f" else "int32"]
    if isinstance(value, bool):
        return DTYPES["uint8"]
    return DTYPES["int32" if isinstance(value, int) else "float32"]


def promoted(*operands: Any) -> DType:
    """The type of a result, by the rules of NKI 0.1: floats over integers, the wider, or one that holds both."""
    types = [operand.dtype if isinstance(operand, Tile) else scalar_type(operand) for operand in operands]
    result = types[0]
    for other in types[1:]:
        result = _pair(result, other)
    return result


def _pair(a: DType, b: DType) -> DType:
    if a == b:
        return a
    floats = [t for t in (a, b) if t.kind == "float"]
    if len(floats) == 1:
        return floats[0]
    if len(floats) == 2:
        return _wider_float(a, b)
    signed = [t for t in (a, b) if t.kind == "int"]
    if len(signed) in (0, 2) or a.kind == "bool" or b.kind == "bool":
        return a if a.itemsize >= b.itemsize else b
    (unsigned,) = [t for t in (a, b) if t.kind != "int"]
    if signed[0].itemsize > unsigned.itemsize:
        return signed[0]
    return DTYPES[{1: "int16", 2: "int32", 4: "float32"}[unsigned.itemsize]]


def _wider_float(a: DType, b: DType) -> DType:
    if a.itemsize == b.itemsize:
        return DTYPES[{1: "bfloat16", 2: "float32", 4: "float32"}[a.itemsize]]
    return a if a.itemsize > b.itemsize else b
