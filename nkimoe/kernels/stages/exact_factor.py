# SPDX-License-Identifier: Apache-2.0
"""largest / amax, rounded as a division rounds it.

Codes of values that lie exactly between two are decided by the last bit of the factor, and rows of bf16 have many such
values: half of the maximum is one of them.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.fp32_halves import halves
from nkimoe.kernels.tensor import Operator, Tensor


def exact_factor(amax: Tensor, largest: float) -> Tensor:
    """fp32 [tokens, 1] from amax, a positive number of fp32: a first quotient, and what is left after it."""
    reciprocal, first, rest = (_like(amax) for _ in range(3))
    nisa.reciprocal(dst=reciprocal, data=amax)
    nisa.tensor_scalar(dst=first, data=reciprocal, op0=nl.multiply, operand0=largest)
    nisa.memset(dst=rest, value=largest)
    for a in halves(amax):
        for b in halves(first):
            rest = _combined(rest, _combined(a, b, nl.multiply), nl.subtract)
    return _combined(first, _combined(rest, reciprocal, nl.multiply), nl.add)


def short_factor(amax: Tensor, largest: float) -> Tensor:
    """The same of amax with at most twelve significant bits, as 16-bit numbers have: nine instructions."""
    reciprocal, first, rest = (_like(amax) for _ in range(3))
    nisa.reciprocal(dst=reciprocal, data=amax)
    nisa.tensor_scalar(dst=first, data=reciprocal, op0=nl.multiply, operand0=largest)
    upper, lower = (_combined(half, amax, nl.multiply) for half in halves(first))
    nisa.scalar_tensor_tensor(  # what amax * first exceeds `largest` by
        dst=rest, data=upper, op0=nl.subtract, operand0=largest, op1=nl.add, operand1=lower
    )
    return _combined(first, _combined(rest, reciprocal, nl.multiply), nl.subtract)


def _combined(a: Tensor, b: Tensor, op: Operator) -> Tensor:
    result = _like(a)
    nisa.tensor_tensor(dst=result, data1=a, data2=b, op=op)
    return result


def _like(tile: Tensor) -> Tensor:
    result: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.float32, buffer=nl.sbuf)
    return result
