# SPDX-License-Identifier: Apache-2.0
"""What vllm-neuron and neuronx-distributed call around the kernel: their mapping builder, and their torch function."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nkimoe.errors import require
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.gate import SILU, Gate
from nkimoe.pytorch.mapping import build_blocks
from nkimoe.pytorch.operator import call_moe_cte
from nkimoe.pytorch.options import current_options


def build_blockwise_mapping(
    expert_affinities: Tensor, num_local_experts: int, top_k: int, block_size: int, moe_group: object = None,
    tp_degree: int = 1, padding_mask: Tensor | None = None, rank: object = None, routed: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """vllm-neuron's four tensors from this rank's affinities [T, E], by its call; static shapes.

    num_local_experts: E. top_k: of the router, so the most experts a token has here. padding_mask: bool [T], False for
    tokens that are only padding. moe_group, tp_degree, rank: there they say how ranks share out the work of building;
    here each rank builds the whole mapping, which is the same.

    routed, which is ours: bool [T, E], which pairs are routed; by default those with a positive affinity, as there,
    which loses a pair whose affinity underflowed in bf16: pass `nkimoe.pytorch.routed_mask(ids, E)` to keep it.

    Returns:
        affinities [T * E, 1], 0 where a token is not routed; token_position_to_id int32 [N * B], pads -1;
        block_to_expert int32 [N]; conditions int32 [N], 1 for blocks with a token.

    Raises:
        RequestError: the affinities are not [T, E].
    """
    shape = tuple(expert_affinities.shape)
    is_matrix = len(shape) == 2 and shape[1] == num_local_experts
    rule = f"is [T, {num_local_experts}], as num_local_experts says"
    require(is_matrix, "expert_affinities", rule, shape, "Give this rank's columns, not flattened.")
    n_tokens, n_experts = shape
    routed = expert_affinities > 0 if routed is None else routed
    if padding_mask is not None:
        routed = routed & padding_mask[:, None]
    experts = torch.arange(n_experts, device=routed.device).expand(n_tokens, n_experts)
    first = torch.where(routed, experts, n_experts).sort(dim=1).values[:, : min(top_k, n_experts)]
    blocks = build_blocks(first, n_experts, block_size)
    masked = torch.where(routed, expert_affinities, torch.zeros_like(expert_affinities))
    return masked.reshape(-1, 1), blocks.token_position_to_id, blocks.block_to_expert, blocks.conditions[:-1]


def routed_mask(expert_ids: Tensor, n_experts: int) -> Tensor:
    """Which pairs are routed, bool [T, E], from ids [T, K]: it does not ask how large an affinity is."""
    return (expert_ids[:, :, None] == torch.arange(n_experts, device=expert_ids.device)).any(dim=1)


def blockwise_matmul(
    hidden_states: Tensor, expert_affinities: Tensor, gate_up_proj_weight: Tensor, down_proj_weight: Tensor,
    token_position_to_id: Tensor, block_to_expert: Tensor, gate: Gate = SILU, gate_up_proj_bias: Tensor | None = None,
    down_proj_bias: Tensor | None = None, multi_expert_per_token: bool = True,
) -> Tensor:  # fmt: skip
    """neuronx-distributed's blockwise experts: [T, H], differentiable in the float tensors.

    hidden_states [T, H], expert_affinities [T, E], gate_up_proj_weight [E, H, 2I] (gate columns first),
    down_proj_weight [E, I, H], gate_up_proj_bias [E, 2I] and down_proj_bias [E, H] or neither, all bf16 or all fp16;
    token_position_to_id [N * B] with pads -1 or T; block_to_expert [N]. The block size follows from the two.
    multi_expert_per_token: False if no token is in two blocks, so that none has to be added up.

    Raises:
        RequestError, InputError: as `nkimoe.moe_cte`.
    """
    options, n_tokens, n_blocks = current_options(), len(hidden_states), block_to_expert.numel()
    slots, shape = token_position_to_id.numel(), tuple(gate_up_proj_weight.shape)
    is_whole = n_blocks > 0 and slots > 0 and slots % n_blocks == 0
    rule = f"has the slots of {n_blocks} blocks, as block_to_expert says"
    require(is_whole, "token_position_to_id", rule, slots, "Take both from build_blockwise_mapping.")
    require(len(shape) == 3 and shape[2] % 2 == 0, "gate_up_proj_weight", "is [E, H, 2I]", shape, "Join gate and up.")
    ids = torch.where(token_position_to_id == n_tokens, -1, token_position_to_id).int()
    conditions = torch.nn.functional.pad((ids.reshape(n_blocks, -1) >= 0).any(dim=1).int(), (0, 1))
    biases = []
    if gate_up_proj_bias is not None or down_proj_bias is not None:
        is_pair = gate_up_proj_bias is not None and down_proj_bias is not None
        require(is_pair, "gate_up_proj_bias", "comes with down_proj_bias", "one of them", "Pass zeros for the other.")
        biases = [gate_up_proj_bias.unflatten(-1, (2, -1)), down_proj_bias]  # type: ignore[union-attr]
    call = Call(replace(options, block_size=ids.numel() // n_blocks), gate, accumulate=multi_expert_per_token)
    weights = [gate_up_proj_weight.unflatten(2, (2, -1)), down_proj_weight]
    blocks = [ids, block_to_expert.reshape(-1).int(), conditions]
    return call_moe_cte([hidden_states, expert_affinities.reshape(-1, 1), *weights], biases, [], blocks, call)
