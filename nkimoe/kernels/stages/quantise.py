# SPDX-License-Identifier: Apache-2.0
"""fp8(x / in_scale), with a scale that the caller gives."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.tiling import PARTITIONS


class Fp8Quantiser:
    """Rounds and saturates to an fp8 type.

    Attributes:
        dtype: that type.
        in_scale: fp32 [128, 1] of the expert at hand.
    """

    def __init__(self, dtype: str, in_scale: Tensor) -> None:
        self.dtype: DType = getattr(nl, dtype)
        self.in_scale, self._largest = in_scale, LARGEST_FP8[dtype]
        self._factor, self._high, self._low = (
            nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(3)
        )

    def derive(self) -> None:
        """1 / in_scale, and the limits of what fits."""
        scale = self.in_scale
        nisa.reciprocal(dst=self._factor, data=scale)
        for limit, sign in ((self._high, 1.0), (self._low, -1.0)):
            nisa.tensor_scalar(dst=limit, data=scale, op0=nl.multiply, operand0=sign * self._largest)

    def quantise(self, dst: Tensor, src: Tensor) -> None:
        """dst = src quantised: limits on the Vector Engine, scale and rounding on the Scalar Engine."""
        rows = src.shape[0]
        limited = nl.ndarray(tuple(src.shape), dtype=src.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=limited, data=src, op0=nl.minimum, operand0=self._high[0:rows, :],
            op1=nl.maximum, operand1=self._low[0:rows, :],
        )  # fmt: skip
        nisa.activation(dst=dst, op=nl.copy, data=limited, scale=self._factor[0:rows, :])
