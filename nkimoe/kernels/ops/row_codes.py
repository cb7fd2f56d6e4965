# SPDX-License-Identifier: Apache-2.0
"""Codes: values over the scale of their row, rounded.

An engine rounds to the nearest, ties to even, and saturates when it writes an integer or fp8: there the factor will do.
The other two roundings are for comparing bit by bit. They divide as a division rounds, because the largest value of
every row lies at an integer; then correct what the engine rounded by comparing it with the value itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.fp32_halves import halves
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.row_quantisation.plan import RowPlan
from nkimoe.planning.row_quantisation.request import AWAY, RNE, TRUNC
from nkimoe.planning.row_quantisation.tiling import ROUNDED_COLUMNS
from nkimoe.planning.tiling import spans


class Divisor(NamedTuple):
    """fp32 [tokens, 1] each, 0 for skipped pairs.

    Attributes:
        factor: what values are multiplied by: 1 / scale to a few bits of the last place.
        scale: the scale as it is returned; None where codes are rounded to the nearest.
    """

    factor: Tensor
    scale: Tensor | None


Rounding = Callable[[Tensor, Tensor, Divisor, RowPlan], None]


def to_nearest_even(dst: Tensor, values: Tensor, divisor: Divisor, plan: RowPlan) -> None:
    """Three engines write a share of the columns each."""
    scalar, gpsimd, vector = plan.shares(values.shape[1])
    factor = divisor.factor
    nisa.activation(dst=dst[:, scalar.slice], op=nl.copy, data=values[:, scalar.slice], scale=factor)
    if gpsimd.size:
        everywhere = factor.ap(pattern=[[1, factor.shape[0]], [0, gpsimd.size]])
        nisa.tensor_tensor(
            dst=dst[:, gpsimd.slice], data1=values[:, gpsimd.slice], data2=everywhere, op=nl.multiply,
            engine=nisa.engine.gpsimd,
        )  # fmt: skip
    if vector.size:
        nisa.tensor_scalar(dst=dst[:, vector.slice], data=values[:, vector.slice], op0=nl.multiply, operand0=factor)


def toward_zero(dst: Tensor, values: Tensor, divisor: Divisor, plan: RowPlan) -> None:
    """Without the fraction."""
    for columns in spans(values.shape[1], ROUNDED_COLUMNS):
        sign, magnitude, nearest = _divided(values[:, columns.slice], divisor, plan.largest)
        beyond = _like(magnitude)
        nisa.tensor_tensor(dst=beyond, data1=nearest, data2=magnitude, op=nl.greater)
        nisa.tensor_tensor(dst=magnitude, data1=nearest, data2=beyond, op=nl.subtract)
        nisa.tensor_tensor(dst=dst[:, columns.slice], data1=magnitude, data2=sign, op=nl.multiply)


def half_away(dst: Tensor, values: Tensor, divisor: Divisor, plan: RowPlan) -> None:
    """To the nearest, ties away from zero."""
    for columns in spans(values.shape[1], ROUNDED_COLUMNS):
        sign, magnitude, nearest = _divided(values[:, columns.slice], divisor, plan.largest)
        down = _like(magnitude)
        nisa.scalar_tensor_tensor(  # a tie that went down to the even number
            dst=down, data=magnitude, op0=nl.subtract, operand0=0.5, op1=nl.greater_equal, operand1=nearest
        )
        nisa.tensor_tensor(dst=magnitude, data1=nearest, data2=down, op=nl.add)
        nisa.tensor_tensor(dst=dst[:, columns.slice], data1=magnitude, data2=sign, op=nl.multiply)


ROUND: dict[str, Rounding] = {RNE: to_nearest_even, TRUNC: toward_zero, AWAY: half_away}


def _divided(values: Tensor, divisor: Divisor, largest: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of values / scale the sign and the magnitude, fp32, and the integer nearest to the magnitude."""
    assert divisor.scale is not None, "the plan says which roundings divide"
    quotient, rest, sign, magnitude = (_like(values) for _ in range(4))
    nisa.tensor_scalar(
        dst=quotient, data=values, op0=nl.multiply, operand0=divisor.factor, op1=nl.minimum, operand1=largest
    )
    nisa.tensor_scalar(dst=quotient, data=quotient, op0=nl.maximum, operand0=-largest)
    left = values
    for q in halves(quotient):
        for s in halves(divisor.scale):
            nisa.scalar_tensor_tensor(  # left - q * s, exact
                dst=rest, data=q, op0=nl.multiply, operand0=s, op1=nl.subtract, operand1=left, reverse1=True
            )
            left = rest
    nisa.scalar_tensor_tensor(
        dst=quotient, data=rest, op0=nl.multiply, operand0=divisor.factor, op1=nl.add, operand1=quotient
    )
    nisa.activation(dst=sign, op=nl.sign, data=quotient)
    nisa.tensor_scalar(dst=magnitude, data=quotient, op0=nl.abs, operand0=None, op1=nl.minimum, operand1=largest)
    nearest = nl.ndarray(tuple(values.shape), dtype=nl.int8, buffer=nl.sbuf)
    nisa.tensor_copy(dst=nearest, src=magnitude, engine=nisa.engine.scalar)
    return sign, magnitude, nearest


def _like(tile: Tensor) -> Tensor:
    result: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.float32, buffer=nl.sbuf)
    return result
