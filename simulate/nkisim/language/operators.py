"""Operators of `nki.language` beyond the ones most kernels use: derivatives, sine, arctangent, larger by magnitude.

Each is added only where the table of `instructions/operators.py` does not have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.instructions import checks
from nkisim.instructions.operators import OPERATORS, Operator, operator, sigmoid
from nkisim.language.elementwise import binary
from nkisim.memory import NkiTensor

Array = np.ndarray[Any, np.dtype[Any]]


def _sine(x: Array) -> Array:
    """Outside -pi..pi the Scalar Engine's result is invalid."""
    return np.where(np.abs(x) <= np.float32(math.pi), np.sin(x), np.float32(np.nan))


def _erf_dx(x: Array) -> Array:
    return np.float32(2 / math.sqrt(math.pi)) * np.exp(-x * x)


def _gelu_dx(x: Array) -> Array:
    halves = np.asarray(np.frompyfunc(math.erf, 1, 1)(x * np.float32(math.sqrt(0.5))), np.float32)
    density = np.exp(np.float32(-0.5) * x * x) * np.float32(1 / math.sqrt(2 * math.pi))
    return np.float32(0.5) * (np.float32(1) + halves) + x * density


def _gelu_apprx_sigmoid_dx(x: Array) -> Array:
    slope = np.float32(1.702)
    s = sigmoid(slope * x)
    return s + slope * x * s * (np.float32(1) - s)


def _abs_max(x: Array, y: Array) -> Array:
    return np.where(np.abs(x) > np.abs(y), x, y)


def _abs_min(x: Array, y: Array) -> Array:
    return np.where(np.abs(x) < np.abs(y), x, y)


_TABLES: dict[str, Callable[[Array], Array]] = {
    "sin": _sine, "arctan": lambda x: np.arctan(x), "erf_dx": _erf_dx, "gelu_dx": _gelu_dx,
    "gelu_apprx_sigmoid_dx": _gelu_apprx_sigmoid_dx,
}  # fmt: skip
for _name, _function in _TABLES.items():
    OPERATORS.setdefault(_name, Operator(_name, 1, _function, alu=False, activation=True))
OPERATORS.setdefault("abs_max", Operator("abs_max", 2, _abs_max))
OPERATORS.setdefault("abs_min", Operator("abs_min", 2, _abs_min))


def abs_max(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """Whichever of x and y has the larger magnitude; y if they are equal."""
    checks.generation(4, "nl.abs_max")
    return binary(operator("abs_max"), x, y, dtype)


def abs_min(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """Whichever of x and y has the smaller magnitude; y if they are equal."""
    checks.generation(4, "nl.abs_min")
    return binary(operator("abs_min"), x, y, dtype)
