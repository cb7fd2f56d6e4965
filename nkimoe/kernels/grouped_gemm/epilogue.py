# SPDX-License-Identifier: Apache-2.0
"""What becomes of the columns of a product, tokens on partitions; the last pass multiplies by the weight and rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.element_steps import apply_steps, limit_steps
from nkimoe.kernels.tensor import ElementOperand, Operator, Tensor
from nkimoe.planning.grouped_gemm.request import GELU, GELU_MUL, SILU, SWIGLU, GemmOptions

Epilogue = Callable[[Tensor, Sequence[Tensor], ElementOperand], None]
"""(dst, values of each half, weight): dst = epilogue(values) * weight, fp32 [tokens, columns] to 16 bits."""


def as_they_are(dst: Tensor, values: Sequence[Tensor], weight: ElementOperand) -> None:
    """The Scalar Engine, which has nothing else to do."""
    nisa.activation(dst=dst, op=nl.copy, data=values[0], scale=weight)


def activated(dst: Tensor, values: Sequence[Tensor], weight: ElementOperand, function: Operator) -> None:
    """function(value)."""
    if isinstance(weight, float):
        nisa.activation(dst=dst, op=function, data=values[0])
        return
    value = _like(values[0])
    nisa.activation(dst=value, op=function, data=values[0])
    nisa.tensor_scalar(dst=dst, data=value, op0=nl.multiply, operand0=weight)


def gated(dst: Tensor, values: Sequence[Tensor], weight: ElementOperand, function: Operator) -> None:
    """function(first half) * second half."""
    gate, up = values
    value = _like(gate)
    nisa.activation(dst=value, op=function, data=gate)
    _multiply(dst, up, weight, value)


def swiglu(
    dst: Tensor, values: Sequence[Tensor], weight: ElementOperand, alpha: float, limit: float | None, offset: float
) -> None:
    """g = min(gate, limit), u = up within both limits: g * sigmoid(alpha * g) * (u + offset)."""
    upper, both_ways = (limit, None), (limit, None if limit is None else -limit)
    gate = apply_steps(values[0], limit_steps(upper))
    steps = (*limit_steps(both_ways), *(((nl.add, offset),) if offset else ()))
    up, share, value = apply_steps(values[1], steps), _like(gate), _like(gate)
    nisa.activation(dst=share, op=nl.sigmoid, data=gate, scale=alpha)
    nisa.tensor_tensor(dst=value, data1=gate, data2=share, op=nl.multiply)
    _multiply(dst, up, weight, value)


def make_epilogue(options: GemmOptions) -> Epilogue:
    """That of the options."""
    offset = 1.0 if options.add_residual else 0.0
    known: dict[str | None, Epilogue] = {
        None: as_they_are,
        SILU: partial(gated, function=nl.silu),
        GELU_MUL: partial(gated, function=nl.gelu_apprx_tanh),
        GELU: partial(activated, function=nl.gelu_apprx_tanh),
        SWIGLU: partial(swiglu, alpha=options.alpha, limit=options.limit, offset=offset),
    }
    return known[options.epilogue]


def _multiply(dst: Tensor, up: Tensor, weight: ElementOperand, value: Tensor) -> None:
    nisa.scalar_tensor_tensor(dst=dst, data=up, op0=nl.multiply, operand0=weight, op1=nl.multiply, operand1=value)


def _like(tile: Tensor) -> Tensor:
    result: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.float32, buffer=nl.sbuf)
    return result
