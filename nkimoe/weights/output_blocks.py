# SPDX-License-Identifier: Apache-2.0
"""FP8 weights with a scale for 128 output columns: blocks of a checkpoint, those above one another brought to one.

Such weights are multiplied as they are, with scales a column; blocks of 128 x 128 are multiplied by their scales first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.weights.block_scales import in_blocks, out_of_blocks, spread_blocks
from nkimoe.weights.expert import Expert, pad_to_tiles
from nkimoe.weights.fp8 import Fp8Row
from nkimoe.weights.fp8_blocks import SIZE, Fp8Block, Fp8BlockExpert


@dataclass(frozen=True)
class Requantisation:
    """What another scale made of a matrix.

    Attributes:
        cosine: of the values before and after.
        nrmse: root mean square of their difference, over that of the values before.
        blocks, shifted: how many there are, and how many have another scale now.
        clipped: codes that the new scale is too small for.
        zeroed: codes that are zero now and were not.
    """

    cosine: float
    nrmse: float
    blocks: int
    shifted: int
    clipped: int
    zeroed: int


@dataclass(frozen=True)
class Fp8OutputBlock:
    """A scale for 128 columns of I of gate or up, or of H of down, given a column: [1, 2I] and [1, H].

    It is the largest scale of the blocks above one another, so that most codes of that block stay as they are, and
    twice that where a code would exceed the type. An expert without blocks is given some first (`Fp8Block`).

    Attributes:
        dtype: float8_e4m3 (Trn2) or float8_e4m3fn (Trn3).
    """

    dtype: Any = ml_dtypes.float8_e4m3

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; H and I padded to multiples of 128 and 16."""
        return self.requantise(expert)[0]

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32, as the kernel sees it."""
        return Fp8Row(self.dtype).unpack_expert(tensors, H, I)

    def requantise(self, expert: Expert) -> tuple[dict[str, Array], dict[str, Requantisation]]:
        """The same, and what became of each matrix."""
        blocks = expert if isinstance(expert, Fp8BlockExpert) else _in_blocks(expert)
        padded = pad_to_tiles(Expert(blocks.gate_up, blocks.down, blocks.gate_up_bias, blocks.down_bias))
        gate_up, gate_up_scale, of_gate_up = self._matrix(padded.gate_up, blocks.gate_up_scale)
        down, down_scale, of_down = self._matrix(padded.down, blocks.down_scale)
        tensors = {
            "gate_up_proj_weight": gate_up,
            "down_proj_weight": down,
            "gate_up_proj_scale": gate_up_scale.reshape(1, -1),
            "down_proj_scale": down_scale.reshape(1, -1),
            **padded.biases(),
        }
        return tensors, {"gate_up_proj_weight": of_gate_up, "down_proj_weight": of_down}

    def _matrix(self, codes: Array, scale: Array) -> tuple[Array, Array, Requantisation]:
        """Codes [rows, ..., columns] with scales of blocks, as codes with scales [1, ..., columns]."""
        largest = np.float32(ml_dtypes.finfo(self.dtype).max)
        real = codes.astype(np.float32) * spread_blocks(scale, codes.shape, SIZE)
        common = np.abs(scale).max(axis=0, keepdims=True)
        common = np.where(common == 0, np.float32(1), common)
        values = in_blocks(real, SIZE) / np.expand_dims(common, (1, common.ndim + 1))
        doubled = np.where(np.abs(values).max(axis=(0, 1, -1), keepdims=True) > largest, np.float32(2), np.float32(1))
        values = out_of_blocks(values / doubled, codes.shape)
        factor = common * doubled[:, 0, ..., 0]
        new = np.clip(values, -largest, largest).astype(self.dtype)
        columns = spread_blocks(factor, (1, *codes.shape[1:]), SIZE)
        report = Requantisation(
            *_distance(real, new.astype(np.float32) * columns), scale.size, int(np.count_nonzero(scale != factor)),
            int(np.count_nonzero(np.abs(values) > largest)), int(np.count_nonzero((new == 0) & (codes != 0))),
        )  # fmt: skip
        return new, columns, report


def _in_blocks(expert: Expert) -> Fp8BlockExpert:
    tensors, whole = Fp8Block(ml_dtypes.float8_e4m3fn).pack_expert(expert), pad_to_tiles(expert)
    return Fp8BlockExpert(
        tensors["gate_up_proj_weight"], tensors["down_proj_weight"], whole.gate_up_bias, whole.down_bias,
        gate_up_scale=tensors["gate_up_proj_scale"], down_scale=tensors["down_proj_scale"],
    )  # fmt: skip


def _distance(before: Array, after: Array) -> tuple[float, float]:
    """Cosine, and normalised root mean square error."""
    x, y = before.astype(np.float64).ravel(), after.astype(np.float64).ravel()
    norm = float(np.linalg.norm(x))
    if norm == 0:
        return 1.0, 0.0
    return float(x @ y) / (norm * max(float(np.linalg.norm(y)), 1e-30)), float(np.linalg.norm(x - y)) / norm
