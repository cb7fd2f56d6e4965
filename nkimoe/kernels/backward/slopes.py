# SPDX-License-Identifier: Apache-2.0
"""Activation functions with their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Operator, Tensor
from nkimoe.spec import ActFnType

ValueAndSlope = tuple[Tensor, Tensor]
"""act(x) and its derivative, fp32."""
Differentiated = Callable[[Tensor], ValueAndSlope]

SWISH = 1.702  # as in nl.gelu_apprx_sigmoid: x * sigmoid(SWISH * x)
CUBIC = 0.044715  # of tanh GELU: z = sqrt(2 / pi) * (x + CUBIC * x**3)
TWICE = math.sqrt(8 / math.pi)  # 1 + tanh(z) = 2 * sigmoid(2z)


def value_and_slope(kind: ActFnType, x: Tensor) -> ValueAndSlope:
    """Of x, [partitions, columns] in PSUM or SBUF. Where one table of the Scalar Engine serves both, only that one."""
    return _PAIRS[kind](x)


def _sigmoid(factor: float) -> Differentiated:
    def pair(x: Tensor) -> ValueAndSlope:
        """x * s with s = sigmoid(factor * x)."""
        s = _like(x)
        nisa.activation(dst=s, op=nl.sigmoid, data=x, scale=factor)
        value, rest, slope = _like(x), _like(x), _like(x)
        nisa.tensor_tensor(dst=value, data1=x, data2=s, op=nl.multiply)
        nisa.tensor_scalar(dst=rest, data=s, op0=nl.multiply, operand0=-factor, op1=nl.add, operand1=factor)
        nisa.tensor_tensor(dst=rest, data1=rest, data2=value, op=nl.multiply)
        nisa.tensor_tensor(dst=slope, data1=rest, data2=s, op=nl.add)
        return value, slope

    return pair


def _tanh_gelu(x: Tensor) -> ValueAndSlope:
    """x * s with s = sigmoid(w), w = TWICE * (x + CUBIC * x**3); slope s + value * (1 - s) * w'."""
    square, inner, s = _like(x), _like(x), _like(x)
    nisa.activation(dst=square, op=nl.square, data=x)
    nisa.tensor_scalar(dst=inner, data=square, op0=nl.multiply, operand0=CUBIC, op1=nl.add, operand1=1.0)
    nisa.tensor_tensor(dst=inner, data1=x, data2=inner, op=nl.multiply)
    nisa.activation(dst=s, op=nl.sigmoid, data=inner, scale=TWICE)
    value, rest, slope = _like(x), _like(x), _like(x)
    nisa.tensor_tensor(dst=value, data1=x, data2=s, op=nl.multiply)
    nisa.tensor_scalar(dst=rest, data=s, op0=nl.multiply, operand0=-TWICE, op1=nl.add, operand1=TWICE)
    nisa.tensor_tensor(dst=rest, data1=rest, data2=value, op=nl.multiply)
    nisa.tensor_scalar(dst=square, data=square, op0=nl.multiply, operand0=3 * CUBIC, op1=nl.add, operand1=1.0)
    nisa.tensor_tensor(dst=rest, data1=rest, data2=square, op=nl.multiply)
    nisa.tensor_tensor(dst=slope, data1=rest, data2=s, op=nl.add)
    return value, slope


def _tables(function: Operator, derivative: Operator) -> Differentiated:
    def pair(x: Tensor) -> ValueAndSlope:
        value, slope = _like(x), _like(x)
        nisa.activation(dst=value, op=function, data=x)
        nisa.activation(dst=slope, op=derivative, data=x)
        return value, slope

    return pair


def _relu(x: Tensor) -> ValueAndSlope:
    value, slope = _like(x), _like(x)
    nisa.activation(dst=value, op=nl.relu, data=x)
    nisa.tensor_scalar(dst=slope, data=x, op0=nl.greater, operand0=0.0)
    return value, slope


def _squared_relu(x: Tensor) -> ValueAndSlope:
    value, slope = _like(x), _like(x)
    nisa.activation(dst=slope, op=nl.relu, data=x, scale=2.0)
    nisa.activation(dst=value, op=nl.square, data=slope, scale=0.5)
    return value, slope


_PAIRS: dict[ActFnType, Differentiated] = {
    ActFnType.SiLU: _sigmoid(1.0),
    ActFnType.GELU: _tables(nl.gelu, nl.gelu_dx),
    ActFnType.GELU_Tanh_Approx: _tanh_gelu,
    ActFnType.Swish: _sigmoid(SWISH),
    ActFnType.ReLU: _relu,
    ActFnType.SquaredReLU: _squared_relu,
}


def _like(x: Tensor) -> Tensor:
    return nl.ndarray(tuple(x.shape), dtype=nl.float32, buffer=nl.sbuf)
