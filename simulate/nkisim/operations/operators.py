# SPDX-License-Identifier: Apache-2.0
"""Operators named by `nl.add`, `nl.silu`, ...: what instructions take as `op`.

An operator is also callable on tiles (`nl.add(x, y)`); the language layer installs that behaviour and its help.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.dtypes import Array

_ERF = np.frompyfunc(math.erf, 1, 1)


class Operator:
    """An ALU operation or activation function.

    Attributes:
        name: as in `nki.language`.
        arity: 1 or 2.
        function: on float32 arrays, or on integers for bit operations; None if only an activation table has it.
        bitwise: works on raw integers.
        reducible: `tensor_reduce` accepts it.
        alu: the Vector Engine's ALU has it; activation: the Scalar Engine's tables have it.
        since: the first NeuronCore generation that has it.
    """

    def __init__(
        self, name: str, arity: int, function: Callable[..., Array], *, bitwise: bool = False, reducible: bool = False,
        alu: bool = True, activation: bool = False, since: int = 3,
    ) -> None:  # fmt: skip
        self.name, self.arity, self.function = name, arity, function
        self.bitwise, self.reducible, self.alu, self.activation = bitwise, reducible, alu, activation
        self.since = since
        self.__name__ = name
        self.on_tiles: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.on_tiles is None:
            raise TypeError(f"nl.{self.name} is an operator for op=, not a function of tiles")
        return self.on_tiles(*args, **kwargs)

    def __repr__(self) -> str:
        return f"nl.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return operator, (self.name,)


OPERATORS: dict[str, Operator] = {}


def instead_of(op: Any) -> str:
    """What to pass in place of something that is no operator of nki, such as a function of NumPy."""
    name = {"absolute": "abs", "negative": "multiply"}.get(name := getattr(op, "__name__", ""), name)
    known = name in OPERATORS and not isinstance(op, Operator)
    return f"Use nl.{name}." if known else "Use one of nl.add, nl.multiply, nl.maximum, ..."


def operator(name: str) -> Operator:
    """The operator called `name`."""
    return OPERATORS[name]


def _define(name: str, arity: int, function: Callable[..., Array], **flags: Any) -> None:
    OPERATORS[name] = Operator(name, arity, function, **flags)


def _compare(ufunc: Callable[..., Array]) -> Callable[..., Array]:
    return lambda x, y: ufunc(x, y).astype(np.float32)


def _logical(ufunc: Callable[..., Array]) -> Callable[..., Array]:
    return lambda x, y: ufunc(x != 0, y != 0).astype(np.float32)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow warnings."""
    with np.errstate(over="ignore"):
        return np.float32(1) / (np.float32(1) + np.exp(-x))


def _erf(x: Array) -> Array:
    return np.asarray(_ERF(x), np.float32)


def _gelu(x: Array) -> Array:
    return np.float32(0.5) * x * (np.float32(1) + _erf(x * np.float32(math.sqrt(0.5))))


def _gelu_tanh(x: Array) -> Array:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (np.float32(1) + np.tanh(inner))


def _silu_dx(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def _sine(x: Array) -> Array:
    """Exact in -pi..pi; outside, the cubic that the Scalar Engine's last polynomial goes on as: the documents promise
    sin(9) = 27.65, which is the third-order expansion of the sine about pi."""
    beyond = np.abs(x) - np.float32(math.pi)
    return np.where(beyond <= 0, np.sin(x), np.sign(x) * (beyond * beyond * beyond / np.float32(6) - beyond))


def _erf_dx(x: Array) -> Array:
    return np.float32(2 / math.sqrt(math.pi)) * np.exp(-x * x)


def _gelu_dx(x: Array) -> Array:
    density = np.exp(np.float32(-0.5) * x * x) * np.float32(1 / math.sqrt(2 * math.pi))
    return np.float32(0.5) * (np.float32(1) + _erf(x * np.float32(math.sqrt(0.5)))) + x * density


def _gelu_apprx_sigmoid_dx(x: Array) -> Array:
    slope = np.float32(1.702)
    s = sigmoid(slope * x)
    return s + slope * x * s * (np.float32(1) - s)


def _abs_max(x: Array, y: Array) -> Array:
    return np.where(np.abs(x) > np.abs(y), x, y)


def _abs_min(x: Array, y: Array) -> Array:
    return np.where(np.abs(x) < np.abs(y), x, y)


def _right_shift(x: Array, y: Array) -> Array:
    """Logical: zeros come in from the left, whatever the sign."""
    bits = np.asarray(x)
    unsigned = bits.view(f"u{bits.itemsize}")
    return np.right_shift(unsigned, np.asarray(y).astype(unsigned.dtype)).view(bits.dtype)


def _define_all(functions: dict[str, Callable[..., Array]], arity: int, **flags: Any) -> None:
    for name, function in functions.items():
        _define(name, arity, function, **flags)


_define_all(
    {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "logical_and": _logical(np.logical_and),
        "logical_or": _logical(np.logical_or),
        "logical_xor": _logical(np.logical_xor),
    },
    2,
    reducible=True,
)
_define_all(
    {
        "equal": _compare(np.equal),
        "not_equal": _compare(np.not_equal),
        "greater_equal": _compare(np.greater_equal),
        "greater": _compare(np.greater),
        "less_equal": _compare(np.less_equal),
        "less": _compare(np.less),
        "power": np.power,
    },
    2,
)
_define_all(
    {
        "abs_max": _abs_max,
        "abs_min": _abs_min,
    },
    2,
    since=4,
)
_define_all(
    {"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor},
    2,
    bitwise=True,
    reducible=True,
)
_define_all({"left_shift": np.left_shift, "right_shift": _right_shift}, 2, bitwise=True)
_define("invert", 1, np.invert, bitwise=True)
_define_all(
    {
        "abs": np.abs,
        "square": np.square,
        "relu": lambda x: np.maximum(x, np.float32(0)),
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "reciprocal": lambda x: 1 / x,
    },
    1,
    activation=True,
)
_define_all(
    {
        "copy": lambda x: x,
        "sigmoid": sigmoid,
        "silu": lambda x: x * sigmoid(x),
        "silu_dx": _silu_dx,
        "gelu": _gelu,
        "gelu_apprx_tanh": _gelu_tanh,
        "gelu_apprx_sigmoid": lambda x: x * sigmoid(np.float32(1.702) * x),
        "tanh": np.tanh,
        "exp": np.exp,
        "log": np.log,
        "sqrt": np.sqrt,
        "sign": np.sign,
        "sin": _sine,
        "arctan": lambda x: np.arctan(x),
        "erf": _erf,
        "erf_dx": _erf_dx,
        "gelu_dx": _gelu_dx,
        "gelu_apprx_sigmoid_dx": _gelu_apprx_sigmoid_dx,
        "softplus": lambda x: np.logaddexp(x, np.float32(0)),
        "mish": lambda x: x * np.tanh(np.logaddexp(x, np.float32(0))),
    },
    1,
    alu=False,
    activation=True,
)
_define("prelu", 2, lambda x, slope: np.maximum(x, np.float32(0)) + slope * np.minimum(x, np.float32(0)), alu=False,
        activation=True)  # fmt: skip
_define("bypass", 1, lambda x: x, alu=False)
_define("average", 1, lambda x: np.mean(x, axis=0), alu=False)
