# SPDX-License-Identifier: Apache-2.0
"""The scale of a row of codes from its largest magnitude, rounded as a division rounds it.

The engines do not divide. A first quotient is a product with 1 / largest; what is left of amax after it corrects it.
`largest` is a difference of two powers of two (127 = 128 - 1, 240 = 256 - 16, 448 = 512 - 64), so the rest is exact
without a fused multiplication.
"""

from __future__ import annotations

import struct

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Tensor

LEAST = 1e-7  # of amax: a row of zeros has a finite scale
MOST = 2.0**127  # of amax: of more, the scale in between would be no number. A device checks no values


def fp32(value: float) -> float:
    """The nearest number of fp32."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def largest_magnitude(dst: Tensor, values: Tensor) -> None:
    """dst, fp32 [n, 1], becomes max |values| of each row of values [n, columns]."""
    n, columns = values.shape
    unused = nl.ndarray((n, 1), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_scalar_reduce(
        dst=unused.ap(pattern=[[1, n], [0, columns]]), data=values, op0=nl.abs, operand0=None,
        reduce_op=nl.maximum, reduce_res=dst,
    )  # fmt: skip


def limited(amax: Tensor, least: float = LEAST) -> Tensor:
    """amax between `least` and what a scale can be computed of."""
    result = _like(amax)
    nisa.tensor_scalar(dst=result, data=amax, op0=nl.maximum, operand0=least, op1=nl.minimum, operand1=MOST)
    return result


def exact_scale(amax: Tensor, largest: float) -> Tensor:
    """fp32 [n, k]: amax / largest, of limited amax."""
    first, rest, scale = (_like(amax) for _ in range(3))
    share, (upper, lower) = fp32(1 / largest), _powers(largest)
    nisa.tensor_scalar(dst=first, data=amax, op0=nl.multiply, operand0=share)
    nisa.scalar_tensor_tensor(  # amax - upper * first
        dst=rest, data=first, op0=nl.multiply, operand0=upper, op1=nl.subtract, operand1=amax, reverse1=True
    )
    nisa.scalar_tensor_tensor(dst=rest, data=first, op0=nl.multiply, operand0=lower, op1=nl.add, operand1=rest)
    nisa.scalar_tensor_tensor(dst=scale, data=rest, op0=nl.multiply, operand0=share, op1=nl.add, operand1=first)
    return scale


def _powers(largest: float) -> tuple[float, float]:
    """The two powers of two whose difference `largest` is."""
    upper = 2.0 ** int(largest).bit_length()
    return upper, upper - largest


def _like(tile: Tensor) -> Tensor:
    result: Tensor = nl.ndarray(tuple(tile.shape), dtype=nl.float32, buffer=nl.sbuf)
    return result
