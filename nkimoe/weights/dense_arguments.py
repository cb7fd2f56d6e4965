# SPDX-License-Identifier: Apache-2.0
"""MX requests served by the dense implementations: weights dequantised on the host, everything else the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.planning.mx.coded_rows import is_coded, packed_affinities
from nkimoe.planning.variants import DENSE, MX, VARIANTS
from nkimoe.spec import MoECTESpec, QuantizationType, ShardOnBlockConfig, ShardOnIConfig
from nkimoe.weights.formats import format_of
from nkimoe.weights.mx import unpack_mx
from nkimoe.weights.mx_layout import TILE, natural_layout, spread_scales, unpack_scales
from nkimoe.weights.mx_rows import dequantize_rows

DENSE_OF = {
    mx.implementation: dense.implementation
    for mx in VARIANTS.values()
    for dense in VARIANTS.values()
    if (mx.numerics, dense.numerics) == (MX, DENSE) and (mx.split, mx.schedule) == (dense.split, dense.schedule)
}
_MATRICES = ("gate_up_proj_weight", "down_proj_weight", "gate_up_proj_scale", "down_proj_scale")
_INPUT_SCALES = ("gate_up_in_scale", "down_in_scale")


def dense_arguments(arguments: Mapping[str, Any], dtype: Any = ml_dtypes.bfloat16) -> dict[str, Any]:
    """The arguments of `moe_cte` by name, with MX weights as plain ones of `dtype` and a dense implementation.

    For Trn2, which has no MX: the weights take four times the memory of MXFP4, and are rounded to `dtype` (values of
    a block whose scale is below 2**-118 may underflow). Activations are not quantised; input scales are dropped,
    and hidden states that came as MXFP8 become numbers of `dtype`.

    Args:
        arguments: of a call of an MX implementation; arrays, or torch CPU tensors that NumPy sees.

    Raises:
        KeyError: the implementation is not MX.
    """
    spec: MoECTESpec = arguments["spec"]
    stored = spec.shard_on_block or spec.shard_on_I
    assert stored is not None
    result = {name: value for name, value in arguments.items() if name not in (*_MATRICES, *_INPUT_SCALES)}
    tensors = {name: np.asarray(arguments[name]) for name in _MATRICES}
    result |= _plain(tensors, arguments.get("gate_and_up_proj_bias"), stored, dtype)
    result["spec"] = dense_spec(spec)
    if is_coded(arguments["hidden_states"]):
        rows, (E, _, _, tiles, _) = np.asarray(arguments["hidden_states"]), tensors["gate_up_proj_weight"].shape
        result["hidden_states"] = dequantize_rows(rows, tiles * TILE).astype(dtype)
        if arguments["expert_affinities_masked"] is None:
            result["expert_affinities_masked"] = packed_affinities(rows, tiles * TILE, E).astype(dtype)
    return result


def _plain(
    tensors: dict[str, Array], bias: Any, stored: ShardOnBlockConfig | ShardOnIConfig, dtype: Any
) -> dict[str, Array]:
    """Weights [E, H, 2, I] and [E, I, H], and the bias [E, 2, I]; one expert at a time."""
    gate_up, down = tensors["gate_up_proj_weight"], tensors["down_proj_weight"]
    (E, _, _, tiles, I), H = gate_up.shape, down.shape[3]
    mx, layout = format_of(gate_up.dtype, stored.weight_dtype), natural_layout(tiles * TILE, I)
    blocks, factors = _scales(tensors, stored)
    plain = {"gate_up_proj_weight": np.empty((E, H, 2, I), dtype), "down_proj_weight": np.empty((E, I, H), dtype)}
    for e in range(E):
        packed = {name: tensors[name][e] for name in _MATRICES[:2]} | {name: t[e] for name, t in blocks.items()}
        expert = unpack_mx(packed, mx, layout)
        plain["gate_up_proj_weight"][e] = expert.gate_up * factors[0][e % len(factors[0])]
        plain["down_proj_weight"][e] = expert.down * factors[1][e % len(factors[1])]
    if bias is not None:
        plain["gate_and_up_proj_bias"] = np.stack([layout.restore_bias(b) for b in np.asarray(bias)])
    return plain


def _scales(
    tensors: dict[str, Array], stored: ShardOnBlockConfig | ShardOnIConfig
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    """Block scales in their own rows, and what multiplies the weights beside them, [., 2, 1 or I] and [., 1 or H]."""
    (E, _, _, tiles, I), (_, width, inner, H) = (tensors[name].shape for name in _MATRICES[:2])
    gate_up, down = tensors["gate_up_proj_scale"], tensors["down_proj_scale"]
    if stored.quantization_type is not QuantizationType.MX:
        blocks = {
            "gate_up_proj_scale": np.full((E, 16, 2, tiles, I), 127, np.uint8),
            "down_proj_scale": np.full((E, width // 8, inner, H), 127, np.uint8),
        }
        return blocks, (gate_up.reshape(len(gate_up), 2, -1), down.reshape(len(down), -1))
    if stored.use_packed_scales:
        gate_up, down = unpack_scales(gate_up, 16, tiles), unpack_scales(down, width // 8, inner)
    if stored.use_block128_scales:
        gate_up, down = spread_scales(gate_up, 16, I), spread_scales(down, width // 8, H)
    ones = np.ones((1, 1), np.float32)
    return {"gate_up_proj_scale": gate_up, "down_proj_scale": down}, (ones, ones)


def dense_spec(spec: MoECTESpec) -> MoECTESpec:
    """The dense implementation that splits and loops likewise."""
    mx_only: dict[str, Any] = {
        "use_packed_scales": False, "weight_dtype": None, "quantization_type": QuantizationType.MX,
        "use_block128_scales": False,
    }  # fmt: skip
    on_block, on_i = spec.shard_on_block, spec.shard_on_I
    if on_block is not None:
        on_block = replace(on_block, **mx_only)
    if on_i is not None:
        on_i = replace(on_i, **mx_only)
    return MoECTESpec(DENSE_OF[spec.implementation], on_block, on_i)
