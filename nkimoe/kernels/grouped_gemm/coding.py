# SPDX-License-Identifier: Apache-2.0
"""Results as int8 or fp8 codes: c / out_scale, rounded to the nearest and saturated."""

from __future__ import annotations

from collections.abc import Callable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.tiling import PARTITIONS


class Coding:
    """How results become codes.

    Attributes:
        factor: fp32 [128, 1] that multiplies results first.
    """

    def __init__(self, factor: Tensor, dtype: str) -> None:
        self.factor: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=self.factor, src=factor.ap(pattern=[[0, PARTITIONS], [1, 1]]))
        self._largest = LARGEST_FP8.get(dtype)

    def store(self, dst: Tensor, compute: Callable[[Tensor], None]) -> None:
        """dst = what `compute` gives. An engine saturates an integer as it writes; of fp8 no document says so."""
        if self._largest is None:
            compute(dst)
            return
        value: Tensor = nl.ndarray(tuple(dst.shape), dtype=nl.float32, buffer=nl.sbuf)
        compute(value)
        nisa.tensor_scalar(
            dst=dst, data=value, op0=nl.minimum, operand0=self._largest, op1=nl.maximum, operand1=-self._largest
        )


def make_coding(request: GemmRequest) -> Coding | None:
    """None where results stay numbers."""
    return None if request.out_factor is None else Coding(request.out_factor, request.options.out_dtype)
