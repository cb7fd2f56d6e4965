# SPDX-License-Identifier: Apache-2.0
"""The definition with MX weights: what the hardware computes, activations quantised as it quantises them.

Beside `reference`: weights are unpacked; x and m = act(g) * u are rounded to the compute dtype and then to e4m3 in
blocks of 32 with a power-of-two scale (quantize_mx), or with an input scale. A block holds eight consecutive columns
of each quarter: of H, or of a tile of 512 columns of I.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.planning.mx.coded_rows import is_coded, packed_affinities
from nkimoe.planning.mx.tiling import QUARTERS, TILE
from nkimoe.reference.forward import moe_cte_reference
from nkimoe.spec import MoECTESpec, QuantizationType, ShardOnBlockConfig, ShardOnIConfig
from nkimoe.weights.expert import Expert
from nkimoe.weights.formats import MXFP8, MxFormat, format_of
from nkimoe.weights.mx import unpack_mx
from nkimoe.weights.mx_layout import natural_layout, spread_scales, unpack_scales
from nkimoe.weights.mx_rows import dequantize_rows
from nkimoe.weights.mx_scale import dequantize_blocks, quantize_blocks

RUN = 8  # consecutive columns of a quarter in a block
DEVICE_RULE = "isa"  # how quantize_mx picks scales (`weights.mx_scale`)


class UnpackedExperts:
    """The experts of packed tensors, in fp32, one at a time; a matrix of them is indexed like a plain weight.

    Attributes:
        dtype: what activations with an input scale become.
    """

    dtype = np.dtype(ml_dtypes.float8_e4m3fn)

    def __init__(self, tensors: dict[str, Array], mx: MxFormat, H: int) -> None:
        self._tensors, self._mx = tensors, mx
        self._layout = natural_layout(H, tensors["gate_up_proj_weight"].shape[-1])
        self.expert = lru_cache(maxsize=1)(self._expert)

    def __len__(self) -> int:
        return len(self._tensors["down_proj_weight"])

    def _expert(self, e: int) -> Expert:
        return unpack_mx({name: tensor[e] for name, tensor in self._tensors.items()}, self._mx, self._layout)

    def bias(self) -> Array:
        """[E, 2, I] in the type it was given in."""
        biases = self._tensors["gate_and_up_proj_bias"]
        return np.stack([self._layout.restore_bias(bias) for bias in biases])


class _Matrix:
    def __init__(self, experts: UnpackedExperts, name: str) -> None:
        self._experts, self._name, self.dtype = experts, name, experts.dtype

    def __len__(self) -> int:
        return len(self._experts)

    def __getitem__(self, e: int) -> Floats:
        weight: Floats = getattr(self._experts.expert(e), self._name)
        return weight


def moe_cte_mx_reference(
    hidden_states: Array, expert_affinities_masked: Array | None, gate_up_proj_weight: Array, down_proj_weight: Array,
    token_position_to_id: Array, block_to_expert: Array, block_size: int, *, spec: MoECTESpec,
    gate_up_proj_scale: Array, down_proj_scale: Array, gate_and_up_proj_bias: Array | None = None,
    compute_dtype: str = "bfloat16", rule: str | None = DEVICE_RULE, **options: Any,
) -> Floats:  # fmt: skip
    """Return the output, float32 [T', H]; arguments as of `moe_cte` with MX weights, `options` as of the reference.

    Args:
        rule: how blocks of activations are scaled. None: activations are not quantised at all; the distance between
            the two results is what quantising activations costs.
    """
    stored = spec.shard_on_block or spec.shard_on_I
    assert stored is not None
    H, I = TILE * gate_up_proj_weight.shape[3], gate_up_proj_weight.shape[-1]
    coded = is_coded(hidden_states)
    if expert_affinities_masked is None:
        expert_affinities_masked = packed_affinities(hidden_states, H, len(gate_up_proj_weight))
    hidden_states = dequantize_rows(hidden_states, H) if coded else hidden_states
    packed = {"gate_up_proj_weight": gate_up_proj_weight, "down_proj_weight": down_proj_weight}
    scales = {"gate_up_proj_scale": gate_up_proj_scale, "down_proj_scale": down_proj_scale}
    if stored.quantization_type is QuantizationType.MX:
        blocks = _block_scales(scales, stored, H, I, down_proj_weight.shape)
    else:
        options |= scales
        blocks = {
            "gate_up_proj_scale": np.full((len(gate_up_proj_weight), 16, 2, H // TILE, I), 127, np.uint8),
            "down_proj_scale": np.full(_scale_shape(down_proj_weight.shape), 127, np.uint8),
        }
    mx = format_of(gate_up_proj_weight.dtype, stored.weight_dtype)
    biases = {} if gate_and_up_proj_bias is None else {"gate_and_up_proj_bias": gate_and_up_proj_bias}
    experts = UnpackedExperts({**packed, **blocks, **biases}, mx, H)
    if rule is not None:
        options |= {
            "gate_up_rounding": partial(quantise_hidden, dtype=compute_dtype, rule=rule),
            "down_rounding": partial(quantise_inner, dtype=compute_dtype, rule=rule),
        }
    if coded:
        options.pop("gate_up_rounding", None)
    gate_up: Any = _Matrix(experts, "gate_up")
    down: Any = _Matrix(experts, "down")
    return moe_cte_reference(
        hidden_states, expert_affinities_masked, gate_up, down, token_position_to_id, block_to_expert, block_size,
        gate_and_up_proj_bias=experts.bias() if biases else None, **options,
    )  # fmt: skip


def quantise_hidden(x: Floats, dtype: str, rule: str) -> Floats:
    """Rows [n, H] as the gate and up projections see them."""
    return _quantise(x, dtype, rule, "hidden_states")


def quantise_inner(m: Floats, dtype: str, rule: str) -> Floats:
    """Rows [n, I] as the down projection sees them."""
    tiles = [m[:, first : first + TILE] for first in range(0, m.shape[1], TILE)]
    return np.concatenate([_quantise(tile, dtype, rule, "act(gate) * up") for tile in tiles], axis=1)


def _quantise(x: Floats, dtype: str, rule: str, name: str) -> Floats:
    rounded = x.astype(dtype).astype(np.float32)
    blocks = rounded.reshape(len(x), QUARTERS, -1, RUN).transpose(2, 3, 0, 1)  # [blocks, 8, n, quarter]
    real = dequantize_blocks(*quantize_blocks(blocks, MXFP8, rule, name))
    return real.transpose(2, 3, 0, 1).reshape(x.shape)


def _block_scales(
    scales: dict[str, Array], stored: ShardOnBlockConfig | ShardOnIConfig, H: int, I: int, down: tuple[int, ...]
) -> dict[str, Array]:
    if stored.use_block128_scales:
        columns = {"gate_up_proj_scale": (16, I), "down_proj_scale": (down[1] // RUN, down[3])}
        return {name: spread_scales(scale, *columns[name]) for name, scale in scales.items()}
    if not stored.use_packed_scales:
        return scales
    return {
        "gate_up_proj_scale": unpack_scales(scales["gate_up_proj_scale"], 16, H // TILE),
        "down_proj_scale": unpack_scales(scales["down_proj_scale"], down[1] // RUN, down[2]),
    }


def _scale_shape(down: tuple[int, ...]) -> tuple[int, ...]:
    """Of the block scales of down weights."""
    E, width, tiles, H = down
    return E, width // RUN, tiles, H
