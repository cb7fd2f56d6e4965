# SPDX-License-Identifier: Apache-2.0
"""An expert in int8: codes, and a scale an output column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkimoe.arrays import Array
from nkimoe.spec import INT8_PER_TOKEN
from nkimoe.weights.expert import Expert, Shard


@dataclass(frozen=True, eq=False, kw_only=True)
class CodedExpert(Expert):
    """`gate_up` and `down` hold int8 codes.

    Attributes:
        gate_up_scale: fp32 [2, I].
        down_scale: fp32 [H].
        activation_quantization: what the weights were made for, as `moe_cte` takes it: W8A8, or None, W8A16.
    """

    gate_up_scale: Array
    down_scale: Array
    activation_quantization: str | None = INT8_PER_TOKEN

    def shard(self, share: Shard) -> CodedExpert:
        """A rank's part: columns of I with their scales; the rows of down share the scales of the whole."""
        part = super().shard(share)
        return CodedExpert(
            part.gate_up, part.down, part.gate_up_bias, part.down_bias,
            gate_up_scale=share.cut(self.gate_up_scale, 1), down_scale=self.down_scale,
            activation_quantization=self.activation_quantization,
        )  # fmt: skip

    def dequantize(self) -> Expert:
        """The expert in float32."""
        gate_up, down = (codes.astype(np.float32) for codes in (self.gate_up, self.down))
        return Expert(gate_up * self.gate_up_scale, down * self.down_scale, self.gate_up_bias, self.down_bias)
