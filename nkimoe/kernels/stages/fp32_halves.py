# SPDX-License-Identifier: Apache-2.0
"""An fp32 number as the sum of two with twelve bits each: products of such halves are exact."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Tensor

UPPER_BITS = 0xFFFFF000


def halves(number: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower half of a tile of numbers."""
    upper, lower = (nl.ndarray(tuple(number.shape), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.tensor_scalar(dst=upper.view(nl.uint32), data=number.view(nl.uint32), op0=nl.bitwise_and, operand0=UPPER_BITS)
    nisa.tensor_tensor(dst=lower, data1=number, data2=upper, op=nl.subtract)
    return upper, lower
