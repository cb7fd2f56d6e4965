# SPDX-License-Identifier: Apache-2.0
"""FP8 weights with one scale a column (row quantisation) or a matrix (static), as the dense kernels take them.

    scale = max(amax, 1e-7) / largest        q = round_to_nearest_even(w / scale), saturated

`largest` is 240 for Trn2's float8_e4m3 and 448 for float8_e4m3fn. An all-zero column has zeros and a finite scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.weights.expert import Expert, crop, pad_to_tiles

SMALLEST_AMAX = np.float32(1e-7)
FP8_OF_TARGET: dict[str, np.dtype[Any]] = {
    "trn2": np.dtype(ml_dtypes.float8_e4m3),
    "trn3": np.dtype(ml_dtypes.float8_e4m3fn),
}
"""The e4m3 of each target: up to 240 on trn2, to 448 on trn3."""


def quantize(values: Array, axes: tuple[int, ...], dtype: Any, name: str) -> tuple[Array, Array]:
    """fp8 values and float32 scales, the reduced `axes` kept with length 1.

    Raises:
        InputError: a value of the tensor called `name` is NaN or infinite.
    """
    largest, values = np.float32(ml_dtypes.finfo(dtype).max), values.astype(np.float32, copy=False)
    amax = np.abs(values).max(axis=axes, keepdims=True, initial=0)
    if not np.isfinite(amax).all():
        raise InputError(name, "is finite", "NaN or infinity", "Repair the checkpoint.")
    scale = np.maximum(amax, SMALLEST_AMAX) / largest
    return np.clip(values / scale, -largest, largest).astype(dtype), scale


@dataclass(frozen=True)
class Fp8Row:
    """One scale an output column: gate and up [1, 2I], down [1, H].

    Attributes:
        dtype: float8_e4m3 (Trn2), float8_e4m3fn (Trn3) or float8_e5m2.
    """

    dtype: Any = ml_dtypes.float8_e4m3

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; H and I padded to multiples of 128 and 16."""
        expert = pad_to_tiles(expert)
        gate_up, gate_up_scale = quantize(expert.gate_up, (0,), self.dtype, "gate_up_proj_weight")
        down, down_scale = quantize(expert.down, (0,), self.dtype, "down_proj_weight")
        return {
            "gate_up_proj_weight": gate_up,
            "down_proj_weight": down,
            "gate_up_proj_scale": gate_up_scale.reshape(1, -1),
            "down_proj_scale": down_scale,
            **expert.biases(),
        }

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32, as the kernel sees it."""
        return crop(_dequantize(tensors, tensors["gate_up_proj_scale"].reshape(2, -1)), H, I)


@dataclass(frozen=True)
class Fp8Static:
    """One scale a matrix: gate and up [2, 1], down [1].

    Attributes:
        dtype: float8_e4m3 (Trn2), float8_e4m3fn (Trn3) or float8_e5m2.
    """

    dtype: Any = ml_dtypes.float8_e4m3

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; H and I padded to multiples of 128 and 16."""
        expert = pad_to_tiles(expert)
        gate_up, gate_up_scale = quantize(expert.gate_up, (0, 2), self.dtype, "gate_up_proj_weight")
        down, down_scale = quantize(expert.down, (0, 1), self.dtype, "down_proj_weight")
        return {
            "gate_up_proj_weight": gate_up,
            "down_proj_weight": down,
            "gate_up_proj_scale": gate_up_scale.reshape(2, 1),
            "down_proj_scale": down_scale.reshape(1),
            **expert.biases(),
        }

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32, as the kernel sees it."""
        return crop(_dequantize(tensors, tensors["gate_up_proj_scale"]), H, I)


def _dequantize(tensors: Mapping[str, Array], gate_up_scale: Array) -> Expert:
    return Expert(
        tensors["gate_up_proj_weight"].astype(np.float32) * gate_up_scale,
        tensors["down_proj_weight"].astype(np.float32) * tensors["down_proj_scale"],
        tensors.get("gate_and_up_proj_bias"),
        tensors.get("down_proj_bias"),
    )
