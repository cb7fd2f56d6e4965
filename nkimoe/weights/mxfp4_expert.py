# SPDX-License-Identifier: Apache-2.0
"""An expert whose checkpoint is already in MXFP4 blocks (gpt-oss): values and scales side by side."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, RequestError
from nkimoe.weights.expert import Expert, Shard
from nkimoe.weights.mx_scale import BIAS, NOT_A_NUMBER

VALUES = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mxfp4Expert(Expert):
    """`gate_up` and `down` hold fp4 codes (uint8, 0..15); each has a scale code (e8m0) beside it, of equal shape.

    Attributes:
        gate_up_scale: uint8 [H, 2, I], equal for every 32 consecutive rows.
        down_scale: uint8 [I, H], likewise; where I is a rank's share, counted from `first_column`.
        first_column: where this share of I starts in the checkpoint.
    """

    gate_up_scale: Array
    down_scale: Array
    first_column: int = 0

    def shard(self, share: Shard) -> Mxfp4Expert:
        """A rank's part, blocks cut where the ranks' columns meet."""
        part = super().shard(share)
        return Mxfp4Expert(
            part.gate_up,
            part.down,
            part.gate_up_bias,
            part.down_bias,
            gate_up_scale=share.cut(self.gate_up_scale, 2),
            down_scale=share.cut(self.down_scale, 0),
            first_column=self.first_column + share.first_column(self.I),
        )

    def dequantize(self) -> Expert:
        """The same expert in float32, exactly (but for products below 2**-149)."""
        return Expert(
            _real(self.gate_up, self.gate_up_scale),
            _real(self.down, self.down_scale),
            self.gate_up_bias,
            self.down_bias,
        )


def _real(codes: Array, scale: Array) -> Array:
    return np.ldexp(VALUES[codes], scale.astype(np.int32) - BIAS)


def decode_blocks(name: str, blocks: Array, scales: Array) -> tuple[Array, Array]:
    """Codes and scale codes, both uint8 [K, columns], of a checkpoint's [columns, K/32, 16] and [columns, K/32].

    A byte holds two values, the earlier one in its low half.

    Raises:
        RequestError: the shapes are not those. InputError: a scale is NaN.
    """
    if blocks.shape != (*scales.shape, 16) or blocks.dtype != np.uint8 or scales.dtype != np.uint8:
        actual = f"{blocks.dtype} {blocks.shape} and {scales.dtype} {scales.shape}"
        raise RequestError(name, "is uint8 blocks [.., K/32, 16] with scales [.., K/32]", actual, "Check the file.")
    if (scales == NOT_A_NUMBER).any():
        raise InputError(name, "has finite scales", "a scale of 255, which is NaN", "Repair the checkpoint.")
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(len(blocks), -1)
    return codes.T, np.repeat(scales, 32, axis=1).T
