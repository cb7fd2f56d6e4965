# SPDX-License-Identifier: Apache-2.0
"""Token-to-block mapping in torch: every shape follows from shapes, none from values.

So it traces (torch.compile, torch.export, XLA) and runs on the device that holds the ids. The values are those of
`nkimoe.routing.build_block_mapping`, which is the definition.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nkimoe.routing import static_block_count


class Blocks(NamedTuple):
    """token_position_to_id int32 [N * B] (pads -1), block_to_expert int32 [N], conditions int32 [N + 1]."""

    token_position_to_id: Tensor
    block_to_expert: Tensor
    conditions: Tensor


def merge_repeated(expert_ids: Tensor, weights: Tensor, n_experts: int) -> tuple[Tensor, Tensor]:
    """Ids [T, K] and weights [T, K] in which a token lists an expert once, with the sum of its weights.

    Ids outside 0..E-1 (another rank's expert, a masked choice) become -1 with weight 0.
    """
    is_local = (expert_ids >= 0) & (expert_ids < n_experts)
    equal = (expert_ids[:, :, None] == expert_ids[:, None, :]) & is_local[:, None, :]
    first = ~torch.tril(equal, diagonal=-1).any(dim=2) & is_local
    total = (equal * weights[:, None, :]).sum(dim=2)
    return torch.where(first, expert_ids, -1), torch.where(first, total, torch.zeros_like(total))


def build_blocks(expert_ids: Tensor, n_experts: int, block_size: int) -> Blocks:
    """Place every pair (token, expert) in a slot; see `build_block_mapping`.

    expert_ids: integers [T, K], each expert once a token; ids outside 0..E-1 are ignored.
    N is `static_block_count(T, K, E, B)`, enough for any routing.
    """
    n_tokens, top_k = expert_ids.shape
    n_blocks = static_block_count(n_tokens, top_k, n_experts, block_size)
    device = expert_ids.device
    chosen = (expert_ids[:, :, None] == torch.arange(n_experts, device=device)).any(dim=1).int()  # [T, E]
    blocks_of = (chosen.sum(dim=0) + block_size - 1) // block_size
    last_block = blocks_of.cumsum(0)
    slots = (last_block - blocks_of) * block_size + chosen.cumsum(0) - chosen
    slots = torch.where(chosen == 1, slots, n_blocks * block_size)  # the slot after the last one is thrown away
    tokens = torch.arange(n_tokens, device=device)[:, None].expand_as(slots)
    positions = torch.full((n_blocks * block_size + 1,), -1, dtype=torch.int64, device=device)
    positions = positions.scatter(0, slots.reshape(-1).long(), tokens.reshape(-1))[:-1]
    numbers = torch.arange(n_blocks + 1, device=device)
    experts = torch.searchsorted(last_block, numbers[:-1], right=True).clamp(max=n_experts - 1)
    conditions = numbers < last_block[-1]
    return Blocks(positions.int(), experts.int(), conditions.int())


class PairSlots(NamedTuple):
    """`Blocks` of pairs (token, choice): the pair of each slot, int32 [N * B] (pads T * K), and its weight, fp32."""

    blocks: Blocks
    positions: Tensor
    weights: Tensor


def build_pair_blocks(expert_ids: Tensor, weights: Tensor, n_experts: int, block_size: int) -> PairSlots:
    """Place every pair in a slot, as `nkimoe.routing.pair_blocks` does.

    expert_ids: integers [T, K] from 0 to E - 1, each expert once a token; weights [T, K].
    """
    blocks, top_k = build_blocks(expert_ids, n_experts, block_size), expert_ids.shape[1]
    tokens = blocks.token_position_to_id
    experts = blocks.block_to_expert.repeat_interleave(block_size)
    is_pad = tokens < 0
    choices = (expert_ids[tokens.clamp(min=0).long()] == experts[:, None]).int().argmax(dim=1)
    positions = torch.where(is_pad, expert_ids.numel(), tokens * top_k + choices.int())
    padded = torch.cat([weights.reshape(-1).float(), weights.new_zeros(1, dtype=torch.float32)])
    return PairSlots(blocks, positions.int(), padded[positions.long()])


def scatter_weights(expert_ids: Tensor, weights: Tensor, n_experts: int) -> Tensor:
    """The affinity column [T * E, 1], differentiable in weights [T, K]; see `scatter_affinities`."""
    columns = torch.where((expert_ids >= 0) & (expert_ids < n_experts), expert_ids, n_experts).long()
    dense = torch.zeros(len(weights), n_experts + 1, dtype=weights.dtype, device=weights.device)
    return dense.scatter(1, columns, weights)[:, :n_experts].reshape(-1, 1)
