# SPDX-License-Identifier: Apache-2.0
"""FP8 weights with a scale for each 128 x 128 or 256 x 256 of them, and experts whose checkpoint has them already.

scale = max(amax of the block, 1e-7) / largest        q = round_to_nearest_even(w / scale), saturated
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.planning.scale_blocks import BLOCK_COPIES
from nkimoe.weights.block_scales import in_blocks, out_of_blocks, spread_blocks
from nkimoe.weights.expert import Expert, Shard, crop, pad_to_tiles
from nkimoe.weights.fp8 import quantize
from nkimoe.weights.legacy_e4m3 import legacy_blocks

SIZE = 128  # rows and columns of the blocks of published checkpoints
_OCP, _LEGACY = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float8_e4m3)


@dataclass(frozen=True, eq=False, kw_only=True)
class Fp8BlockExpert(Expert):
    """`gate_up` [H, 2, I] and `down` [I, H] hold float8_e4m3fn, as published by DeepSeek and Qwen.

    Attributes:
        gate_up_scale: fp32 [H/128, 2, I/128], rounded up.
        down_scale: fp32 [I/128, H/128].
    """

    gate_up_scale: Array
    down_scale: Array

    def shard(self, share: Shard) -> Expert:
        """A rank's part: blocks as they are where the ranks' columns meet between two of them, else float32."""
        if share.tp == 1:
            return self
        if self.I % (share.tp * SIZE):
            return self.dequantize().shard(share)
        part = super().shard(share)
        scales = share.cut(self.gate_up_scale, 2), share.cut(self.down_scale, 0)
        return Fp8BlockExpert(
            part.gate_up, part.down, part.gate_up_bias, part.down_bias, gate_up_scale=scales[0], down_scale=scales[1]
        )

    def dequantize(self) -> Expert:
        """The same expert in float32."""
        gate_up, down = _real(self.gate_up, self.gate_up_scale, SIZE), _real(self.down, self.down_scale, SIZE)
        return Expert(gate_up, down, self.gate_up_bias, self.down_bias)


def _real(codes: Array, scale: Array, size: int) -> Array:
    return codes.astype(np.float32) * spread_blocks(scale, codes.shape, size)


@dataclass(frozen=True)
class Fp8Block:
    """Scales of blocks: gate and up [H/128, 2, I/128], down [I/128, H/128]; of 256 with 128 copies of each behind.

    Blocks of 128 that a checkpoint has are kept: bit for bit in float8_e4m3fn, and in Trn2's float8_e4m3 as
    `to_legacy_e4m3` says. All else is quantised.

    Attributes:
        dtype: float8_e4m3 (Trn2), float8_e4m3fn (Trn3) or float8_e5m2.
        size: 128 or 256.
    """

    dtype: Any = ml_dtypes.float8_e4m3
    size: int = SIZE

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; H and I padded to multiples of 128 and 16."""
        if isinstance(expert, Fp8BlockExpert) and self.size == SIZE and np.dtype(self.dtype) in (_OCP, _LEGACY):
            padded = pad_to_tiles(Expert(expert.gate_up, expert.down, expert.gate_up_bias, expert.down_bias))
            gate_up = self._kept(padded.gate_up, expert.gate_up_scale)
            down = self._kept(padded.down, expert.down_scale)
        else:
            padded = pad_to_tiles(expert)
            gate_up = self._quantised(padded.gate_up, "gate_up_proj_weight")
            down = self._quantised(padded.down, "down_proj_weight")
        return {
            "gate_up_proj_weight": gate_up[0],
            "down_proj_weight": down[0],
            "gate_up_proj_scale": gate_up[1],
            "down_proj_scale": down[1],
            **padded.biases(),
        }

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32; the kernel rounds it to the compute dtype."""
        gate_up, down = (
            _real(tensors[f"{name}_weight"], tensors[f"{name}_scale"], self.size)
            for name in ("gate_up_proj", "down_proj")
        )
        return crop(Expert(gate_up, down, tensors.get("gate_and_up_proj_bias"), tensors.get("down_proj_bias")), H, I)

    def _quantised(self, values: Array, name: str) -> tuple[Array, Array]:
        blocks = in_blocks(values, self.size)
        codes, scale = quantize(blocks, (1, blocks.ndim - 1), self.dtype, name)
        scale = scale[:, 0, ..., 0]
        if self.size != SIZE:
            scale = np.repeat(scale[..., None], BLOCK_COPIES, -1)
        return out_of_blocks(codes, values.shape), scale

    def _kept(self, codes: Array, scale: Array) -> tuple[Array, Array]:
        if np.dtype(self.dtype) == _OCP:
            return codes, scale
        legacy, doubled, _ = legacy_blocks(codes[None], scale[None], SIZE)
        return legacy[0], doubled[0]
