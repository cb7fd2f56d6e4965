"""The activations a projection multiplies with: kept in the compute dtype, or quantised to fp8."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.pieces import Vector
from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.tiling import PARTITIONS


class Unquantised:
    """Activations in the compute dtype.

    Attributes:
        dtype: of the matmul operand.
        tiles_at_once: tiles of the contraction that one matmul takes.
    """

    tiles_at_once = 1

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def open(self) -> None:
        """A block of another expert begins."""

    def store(self, dst: Any, src: Any, turn: int) -> None:
        """dst = src, from PSUM; the Vector and the Scalar Engine take turns."""
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.scalar if turn % 2 else nisa.engine.vector)

    def stage(self, dst: Any) -> Any:
        """Where results that become `dst` are computed: `dst` itself."""
        return dst

    def settle(self, dst: Any, staged: Any) -> None:
        """Nothing is left to do."""


class Quantised:
    """Activations as fp8, x / in_scale rounded and saturated; products then run at the PE's double rate."""

    tiles_at_once = 2
    # in_scale: fp32 [128, 1] of the expert at hand

    def __init__(self, dtype: str, in_scale: Vector) -> None:
        self.dtype, self.in_scale, self._largest = getattr(nl, dtype), in_scale.tile, LARGEST_FP8[dtype]
        self._factor, self._high, self._low = (
            nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(3)
        )

    def open(self) -> None:
        """1 / in_scale, and the limits of what fits."""
        scale = self.in_scale
        nisa.reciprocal(dst=self._factor, data=scale)
        for limit, sign in ((self._high, 1.0), (self._low, -1.0)):
            nisa.tensor_scalar(dst=limit, data=scale, op0=nl.multiply, operand0=sign * self._largest)

    def store(self, dst: Any, src: Any, turn: int = 0) -> None:
        """dst = src quantised: limits on the Vector Engine, scale and rounding on the Scalar Engine."""
        rows = src.shape[0]
        limited = nl.ndarray(tuple(src.shape), dtype=src.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=limited, data=src, op0=nl.minimum, operand0=self._high[0:rows, :],
            op1=nl.maximum, operand1=self._low[0:rows, :],
        )  # fmt: skip
        nisa.activation(dst=dst, op=nl.copy, data=limited, scale=self._factor[0:rows, :])

    def stage(self, dst: Any) -> Any:
        """Results are quantised from fp32."""
        return nl.ndarray(tuple(dst.shape), dtype=nl.float32, buffer=nl.sbuf)

    def settle(self, dst: Any, staged: Any) -> None:
        """Quantise them."""
        self.store(dst, staged)
