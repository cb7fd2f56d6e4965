# SPDX-License-Identifier: Apache-2.0
"""`moe_cte` and `moe_cte_backward` with flat arguments, as torch on a Neuron device passes them to kernels: tensors,
numbers, members of enums, None. What is not flat is built inside.

Torch has no types for Trn2's fp8, and torch-neuronx takes none; such weights come as integers of their size.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Any

import nki
import nki.language as nl

from nkimoe.moe_cte import moe_cte
from nkimoe.moe_cte_backward import moe_cte_backward
from nkimoe.pytorch.gate import Gate
from nkimoe.spec import ActFnType, BlockShardStrategy, MoECTEImplementation, MoECTESpec, Pairs, SkipMode
from nkimoe.weights.int8 import activation_arguments


class Number(Enum):
    """The name of a type of `nki.language`: of what is computed with, or of what integers stand for."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"
    FLOAT8_E4M3 = "float8_e4m3"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"
    FLOAT8_E4M3FN_X4 = "float8_e4m3fn_x4"
    FLOAT8_E5M2_X4 = "float8_e5m2_x4"
    FLOAT4_E2M1FN_X4 = "float4_e2m1fn_x4"


def spec_of(implementation: MoECTEImplementation, strategy: BlockShardStrategy, keeps: bool) -> MoECTESpec:
    """The spec that suits an implementation; with `keeps`, gate and up activations are returned.

    Then the affinity multiplies on I, so that none of the down projection are kept.
    """
    spec = MoECTESpec.suited(implementation, strategy)
    if not keeps:
        return spec
    changes: dict[str, Any] = {"checkpoint_activation": True, "expert_affinity_multiply_on_I": True}
    if spec.shard_on_block is not None:
        return replace(spec, shard_on_block=replace(spec.shard_on_block, **changes))
    assert spec.shard_on_I is not None, "MoECTESpec fills in the matching one"
    return replace(spec, shard_on_I=replace(spec.shard_on_I, **changes))


@nki.jit
def flat_moe_cte(
    hidden_states: Any, expert_affinities_masked: Any, gate_up_proj_weight: Any, down_proj_weight: Any,
    token_position_to_id: Any, block_to_expert: Any, conditions: Any, gate_and_up_proj_bias: Any, down_proj_bias: Any,
    gate_up_proj_scale: Any, down_proj_scale: Any, positions: Any, weights_of_slots: Any,
    implementation: MoECTEImplementation, strategy: BlockShardStrategy, number: Number | None, block_size: int,
    accumulates: bool, keeps: bool,
    exact_rows: int | None, choices: int | None, top_k: int, ep_degree: int,
    activation: ActFnType, has_gate: bool, up_offset: float,
    gate_upper: float | None, gate_lower: float | None, up_upper: float | None, up_lower: float | None,
) -> Any:  # fmt: skip
    """`nkimoe.moe_cte`; pads have id -1. positions, weights_of_slots, choices: of `Pairs`, or None.

    top_k, ep_degree: of `MoECTESpec.shared_by`.
    """
    gate = Gate(activation.name, gate_upper, gate_lower, up_upper, up_lower, up_offset, has_gate)
    weights = [gate_up_proj_weight, down_proj_weight]
    if number is not None:
        weights = [weight.view(getattr(nl, number.value)) for weight in weights]
    spec = spec_of(implementation, strategy, keeps).shared_by(ep_degree, hidden_states.shape[0], top_k, block_size)
    return moe_cte(
        hidden_states, expert_affinities_masked, *weights, token_position_to_id, block_to_expert, block_size,
        spec, conditions=conditions, gate_and_up_proj_bias=gate_and_up_proj_bias,
        down_proj_bias=down_proj_bias, gate_up_proj_scale=gate_up_proj_scale, down_proj_scale=down_proj_scale,
        skip_dma=SkipMode(skip_token=True), is_tensor_update_accumulating=accumulates,
        pairs=None if choices is None else Pairs(positions, weights_of_slots, choices),
        **gate.arguments(), **activation_arguments(exact_rows),
    )  # fmt: skip


@nki.jit
def flat_moe_cte_backward(
    hidden_states: Any, expert_affinities_masked: Any, gate_up_proj_weight: Any, down_proj_weight: Any,
    gate_up_activations_T: Any, token_position_to_id: Any, block_to_expert: Any, output_hidden_states_grad: Any,
    gate_and_up_proj_bias: Any, down_proj_bias: Any, block_size: int, activation: ActFnType, has_gate: bool,
    up_offset: float, gate_upper: float | None, gate_lower: float | None, up_upper: float | None,
    up_lower: float | None,
) -> Any:  # fmt: skip
    """`nkimoe.moe_cte_backward`; pads have id -1."""
    gate = Gate(activation.name, gate_upper, gate_lower, up_upper, up_lower, up_offset, has_gate)
    return moe_cte_backward(
        hidden_states, expert_affinities_masked, gate_up_proj_weight, down_proj_weight, gate_up_activations_T,
        token_position_to_id, block_to_expert, output_hidden_states_grad, block_size,
        gate_and_up_proj_bias=gate_and_up_proj_bias, down_proj_bias=down_proj_bias,
        skip_dma=SkipMode(skip_token=True), **gate.arguments(),
    )  # fmt: skip
