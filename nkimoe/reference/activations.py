# SPDX-License-Identifier: Apache-2.0
"""Activation functions and their derivatives, of arrays of fp32 or fp64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nkimoe.arrays import Array
from nkimoe.spec import ActFnType

Function = Callable[[Array], Array]
_erfc = np.frompyfunc(math.erfc, 1, 1)


class Activation(NamedTuple):
    """act(x), and act'(x)."""

    value: Function
    slope: Function


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow and with full relative accuracy in the left tail."""
    result: Array = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return result


def normal_cdf(x: Array) -> Array:
    """(1 + erf(x / sqrt(2))) / 2, as erfc: the left tail does not cancel."""
    result: Array = np.asarray(_erfc(x * -math.sqrt(0.5))).astype(x.dtype) / 2
    return result


def _gated_by_sigmoid(argument: Function, slope: Callable[[Array], Any]) -> Activation:
    """x * sigmoid(w(x)), from w and its derivative."""

    def derivative(x: Array) -> Array:
        s = sigmoid(argument(x))
        return s + x * s * (1 - s) * slope(x)

    return Activation(lambda x: x * sigmoid(argument(x)), derivative)


_CUBIC = 0.044715
_TANH = math.sqrt(8 / math.pi)  # 1 + tanh(z) = 2 * sigmoid(2z), whose left tail does not cancel
ACTIVATIONS: dict[ActFnType, Activation] = {
    ActFnType.SiLU: _gated_by_sigmoid(lambda x: x, lambda x: 1.0),
    ActFnType.GELU: Activation(
        lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    ),
    ActFnType.GELU_Tanh_Approx: _gated_by_sigmoid(
        lambda x: _TANH * (x + _CUBIC * x * x * x), lambda x: _TANH * (1 + 3 * _CUBIC * x * x)
    ),
    ActFnType.Swish: _gated_by_sigmoid(lambda x: 1.702 * x, lambda x: 1.702),
    ActFnType.ReLU: Activation(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    ActFnType.SquaredReLU: Activation(lambda x: np.square(np.maximum(x, 0)), lambda x: 2 * np.maximum(x, 0)),
}
