# SPDX-License-Identifier: Apache-2.0
"""The kernels behind operations with experts: of pairs (token, choice), and of one expert for all tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.planning.operation_needs import Added, Smooth
from nkimoe.planning.plan import make_plan
from nkimoe.planning.request import OperationRequest
from nkimoe.spec import (
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    Pairs,
    QuantizationConfig,
    SkipMode,
)


@nki.jit
def pair_experts(
    hidden_states: Any, gate_up_proj_weight: Any, down_proj_weight: Any, gate_up_proj_scale: Any, down_proj_scale: Any,
    smooth_hidden: Any, smooth_intermediate: Any, tokens: Any, positions: Any, weights: Any, block_to_expert: Any,
    options: ExpertOptions,
) -> Any:  # fmt: skip
    """out[t] = sum over choices j, in order, of weight * expert(x[t]), where a slot holds the pair t * choices + j.

    Args:
        hidden_states: [T, H] bf16 or fp16.
        gate_up_proj_weight, down_proj_weight, gate_up_proj_scale, down_proj_scale: as of `moe_cte`; scales or None.
        smooth_hidden, smooth_intermediate: fp32 [E, H], [E, I], or both None.
        tokens: int32 [N * B], the token of each slot, -1 in pads.
        positions: int32 [N * B], the pair, T * choices in pads.
        weights: fp32 [N * B].
        block_to_expert: int32 [N].

    Returns:
        [T, H], dtype of hidden_states.

    Raises:
        RequestError: the request cannot be honoured.
    """
    pairs = Pairs(positions, weights, options.choices, options.rounds_each, options.has_gaps)
    smooth = None if smooth_hidden is None else Smooth(smooth_hidden, smooth_intermediate)
    scales = QuantizationConfig(gate_up_proj_scale, down_proj_scale, options.exact_rows)
    matrices = gate_up_proj_weight, down_proj_weight
    request = _request(hidden_states, *matrices, scales, tokens, block_to_expert, options)
    return _run(replace(request, pairs=pairs, smooth=smooth))


@nki.jit
def single_expert(
    hidden_states: Any, gate_up_proj_weight: Any, down_proj_weight: Any, gate_up_proj_scale: Any, down_proj_scale: Any,
    added: Any, factor: float, tokens: Any, block_to_expert: Any, options: ExpertOptions,
) -> Any:  # fmt: skip
    """out[t] = expert(x[t]) + added[t] * factor, in fp32, rounded once.

    Args:
        hidden_states, added: [T, H] bf16 or fp16.
        gate_up_proj_weight, down_proj_weight, gate_up_proj_scale, down_proj_scale: of one expert, E = 1.
        tokens: int32 [N * B], all tokens, then -1.
        block_to_expert: int32 [N], zeros.

    Returns:
        [T, H], dtype of hidden_states.

    Raises:
        RequestError: the request cannot be honoured.
    """
    scales = QuantizationConfig(gate_up_proj_scale, down_proj_scale, options.exact_rows)
    matrices = gate_up_proj_weight, down_proj_weight
    request = _request(hidden_states, *matrices, scales, tokens, block_to_expert, options)
    no_scale = ExpertAffinityScaleMode.NO_SCALE
    return _run(replace(request, added=Added(added, factor), expert_affinities_scaling_mode=no_scale))


def _request(
    hidden_states: Any, gate_up: Any, down: Any, scales: QuantizationConfig, tokens: Any, experts: Any,
    options: ExpertOptions,
) -> OperationRequest:  # fmt: skip
    return OperationRequest(
        hidden_states, None, gate_up, down, tokens, experts, options.block_size,
        MoECTESpec(MoECTEImplementation.shard_on_block), options.compute_dtype, quantization_config=scales,
        activation_function=options.activation, skip_dma=SkipMode(skip_token=True), skip_gate_proj=not options.gated,
        activation_quantization=options.activation_quantization,
    )  # fmt: skip


def _run(request: OperationRequest) -> Any:
    return kernels.run(request, make_plan(request, nl.num_programs(0), kernels.target()))
