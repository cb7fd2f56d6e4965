# SPDX-License-Identifier: Apache-2.0
"""int8 weights with one scale an output column, and how many of their products fp32 adds exactly.

    scale = max(amax, 1e-7) / 127        q = round_to_nearest_even(w / scale)

An all-zero column has zeros and a finite scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.planning.tiling import PARTITIONS, ceil_div
from nkimoe.spec import EXACT_ROWS, INT8_PER_TOKEN, QuantizationConfig
from nkimoe.weights.expert import Expert, crop, pad_to_tiles
from nkimoe.weights.fp8 import SMALLEST_AMAX
from nkimoe.weights.int8_expert import CodedExpert

LARGEST = np.float32(127)
MOST = 1 << 24  # integers up to here are exact in fp32


def quantize_int8(values: Array, axis: int, name: str) -> tuple[Array, Array]:
    """int8 codes from -127 to 127 in the shape of `values`, and float32 scales, the reduced axis kept with length 1.

    Raises:
        InputError: a value of the tensor called `name` is NaN or infinite.
    """
    values = values.astype(np.float32, copy=False)
    amax = np.abs(values).max(axis=axis, keepdims=True, initial=0)
    if not np.isfinite(amax).all():
        raise InputError(name, "is finite", "NaN or infinity", "Repair the checkpoint.")
    scale = np.maximum(amax, SMALLEST_AMAX) / LARGEST
    return np.rint(values / scale).astype(np.int8), scale


def exact_rows(gate_up: Array, down: Array) -> int:
    """`QuantizationConfig.exact_rows` of int8 weights [E, H, 2, I] and [E, I, H], for activations from -127 to 127.

    Products of fp32 are added exactly while every partial sum has at most 24 bits. Of a column that is bounded by 127
    times the sum of its magnitudes, over as many tiles of 128 rows as are added in a row, wherever they start.
    """
    return min(exact_rows_of(gate_up.reshape(*gate_up.shape[:2], -1)), exact_rows_of(down))


def exact_rows_of(codes: Array) -> int:
    """Of one matrix [E, rows, columns]; a number no contraction reaches, if any may be added whole."""
    rows = codes.shape[1]
    chunks = ceil_div(rows, EXACT_ROWS)
    tiles = [
        np.abs(codes[:, first : first + PARTITIONS].astype(np.int32)).sum(axis=1)
        for first in range(0, rows, PARTITIONS)
    ]
    sums = np.cumsum([np.zeros_like(tiles[0]), *tiles], axis=0) if tiles else np.zeros((1, 1), np.int32)
    if int(LARGEST) * int(sums[-1].max(initial=0)) <= MOST:
        return 1 << 30
    for count in range(chunks, 1, -1):
        width = min(count * EXACT_ROWS // PARTITIONS + 1, len(tiles))  # a part of I may start within a tile
        if int(LARGEST) * int((sums[width:] - sums[:-width]).max()) <= MOST:
            return count * EXACT_ROWS
    return EXACT_ROWS


@dataclass(frozen=True)
class Int8:
    """One scale an output column: gate and up [1, 2I], down [1, H]. Experts that are in int8 stay as they are."""

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; H and I padded to multiples of 128 and 16."""
        coded = expert if isinstance(expert, CodedExpert) else _quantised(expert.dequantize())
        padded = pad_to_tiles(Expert(coded.gate_up, coded.down, coded.gate_up_bias, coded.down_bias))
        H, I = padded.H - coded.H, padded.I - coded.I
        return {
            "gate_up_proj_weight": padded.gate_up,
            "down_proj_weight": padded.down,
            "gate_up_proj_scale": np.pad(coded.gate_up_scale, ((0, 0), (0, I))).reshape(1, -1),
            "down_proj_scale": np.pad(coded.down_scale, (0, H)).reshape(1, -1),
            **padded.biases(),
        }

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32, as its codes and scales say."""
        expert = Expert(
            tensors["gate_up_proj_weight"].astype(np.float32) * tensors["gate_up_proj_scale"].reshape(2, -1),
            tensors["down_proj_weight"].astype(np.float32) * tensors["down_proj_scale"],
            tensors.get("gate_and_up_proj_bias"), tensors.get("down_proj_bias"),
        )  # fmt: skip
        return crop(expert, H, I)


def _quantised(expert: Expert) -> CodedExpert:
    gate_up, gate_up_scale = quantize_int8(expert.gate_up, 0, "gate_up_proj_weight")
    down, down_scale = quantize_int8(expert.down, 0, "down_proj_weight")
    return CodedExpert(
        gate_up, down, expert.gate_up_bias, expert.down_bias, gate_up_scale=gate_up_scale[0], down_scale=down_scale[0]
    )


def quantises_activations(expert: Expert) -> bool:
    """Whether activations become int8 where the expert is packed by `Int8`: if no checkpoint says otherwise."""
    return not isinstance(expert, CodedExpert) or expert.activation_quantization == INT8_PER_TOKEN


def int8_arguments(experts: Sequence[Expert], packed: Mapping[str, Array]) -> dict[str, Any]:
    """Arguments of `moe_cte` beside the tensors `packed` of `pack(experts, Int8())`: none for W8A16."""
    if not quantises_activations(experts[0]):
        return {}
    return activation_arguments(exact_rows(packed["gate_up_proj_weight"], packed["down_proj_weight"]))


def activation_arguments(rows: int | None) -> dict[str, Any]:
    """Arguments of `moe_cte` for int8 activations, with the `exact_rows` of the weights; none if that is None."""
    if rows is None:
        return {}
    return {"activation_quantization": INT8_PER_TOKEN, "quantization_config": QuantizationConfig(exact_rows=rows)}
