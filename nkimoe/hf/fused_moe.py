# SPDX-License-Identifier: Apache-2.0
"""An experts module through the operation `fused_moe`, which takes weights as most modules have them, and int8 ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nkimoe.errors import RequestError, require
from nkimoe.hf.layout import is_fp8, weights_of
from nkimoe.ops.expert_arguments import INT8_W8A8, UNQUANT
from nkimoe.ops.gemm_quantisation import INT8_W8A16
from nkimoe.planning.grouped_gemm.request import SILU, SWIGLU
from nkimoe.pytorch.experts import compute_dtype
from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.operations import fused_moe
from nkimoe.pytorch.options import PLAIN, current_options
from nkimoe.pytorch.weights import ExpertWeights

WITHOUT_OPTIONS = {Gate("SiLU"): SILU, Gate("GELU_Tanh_Approx"): "gelu"}
ALPHAS = {"SiLU": 1.0, "Swish": 1.702}


def through_fused_moe(module: Any, gate: Gate, hidden_states: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of each token's experts: [T, H].

    Raises:
        RequestError: its gate is none of `fused_moe`, a norm follows its experts, or the options ask for other weights
            than the module has.
    """
    name, options = type(module).__name__, current_options()
    require(not module.has_post_expert_norm, name, "has no norm after each expert", "one", "Run it with 'nkimoe'.")
    require(not is_fp8(module), name, "has weights without blocks", "fp8", "Run it with 'nkimoe'.")
    require(options.weights == PLAIN, "weights", f"is {PLAIN!r}", repr(options.weights), "Run it with 'nkimoe'.")
    activation, dtype = _activation(name, gate), compute_dtype(hidden_states, options)
    experts = _arguments(weights_of(module), dtype, activation["activation"] == SWIGLU)
    output = fused_moe(hidden_states.to(dtype), topk_weights=weights.float(), topk_ids=ids, **experts, **activation)
    return output.to(hidden_states.dtype)


def _activation(name: str, gate: Gate) -> dict[str, Any]:
    """Its arguments."""
    if gate in WITHOUT_OPTIONS:
        return {"activation": WITHOUT_OPTIONS[gate]}
    limit = gate.up_upper
    limits = (gate.gate_upper, gate.up_lower, gate.gate_lower)
    is_swiglu = gate.has_gate and gate.activation in ALPHAS and gate.up_offset in (0.0, 1.0)
    if not is_swiglu or limits != (limit, None if limit is None else -limit, None):
        raise RequestError(
            name, "has a gate of fused_moe: SiLU, GELU in its tanh form, or gpt-oss's", gate, "Run it with 'nkimoe'."
        )
    alpha, add_residual = ALPHAS[gate.activation], gate.up_offset == 1.0
    return {"activation": SWIGLU, "alpha": alpha, "limit": limit, "add_residual": add_residual}


def _arguments(experts: ExpertWeights, dtype: torch.dtype, interleaved: bool) -> dict[str, Any]:
    """Weights, scales and biases.

    Args:
        interleaved: gate and up columns take turns, else halves.
    """

    def columns(halves: Tensor) -> Tensor:
        return (halves.transpose(1, 2) if interleaved else halves).flatten(1, 2)

    w1, w2 = columns(experts.gate_up.permute(0, 2, 3, 1)), experts.down.transpose(1, 2)
    given = dict(zip(("bias1", "bias2"), (b.float() for b in experts.biases), strict=False))
    if experts.biases:
        given["bias1"] = columns(given["bias1"])
    if not experts.scales:
        return {"w1": w1.to(dtype), "w2": w2.to(dtype), "quantization": UNQUANT, **given}
    held = str(w1.dtype).removeprefix("torch.")
    require(held == "int8", "weights with scales", "are int8", held, "Run them with 'nkimoe'.")
    quantization = INT8_W8A16 if experts.exact_rows is None else INT8_W8A8
    scales = {"w1_scale": columns(experts.scales[0]), "w2_scale": experts.scales[1]}
    return {"w1": w1, "w2": w2, "quantization": quantization, **scales, **given}
