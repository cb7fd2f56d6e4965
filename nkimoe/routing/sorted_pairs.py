# SPDX-License-Identifier: Apache-2.0
"""The mapping in the forms of other systems: SGLang's and aiter's aligned ids, and Composable Kernel's sorted ids.

Both list the pairs (token, choice) by expert, each expert's part filled up to a multiple of the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nkimoe.errors import require
from nkimoe.routing.mapping import BlockMapping, build_block_mapping
from nkimoe.routing.sorting_rule import SortingRule

Ints = npt.NDArray[np.int32]


class AlignedIds(NamedTuple):
    """What `moe_align_block_size` of SGLang and aiter gives.

    sorted_ids: int32 [rows], token * K + choice of each row, T * K in pads.
    expert_ids: int32 [rows / B], the expert of each block; surplus blocks have -1: nobody loads weights.
    num_tokens_post_pad: rows in use, pads of used blocks included.
    offsets: int32 [rows / B + 1], real rows before each block.
    """

    sorted_ids: Ints
    expert_ids: Ints
    num_tokens_post_pad: int
    offsets: Ints


class SortedTokens(NamedTuple):
    """What `moe_sorting` of Composable Kernel gives.

    sorted_token_ids: int32 [rows], choice << 24 | token, or the token alone; pads K << 24 | T, or T.
    sorted_weights: float32 [rows], 0 in pads.
    sorted_expert_ids: int32 [rows / B], the expert of each block; surplus blocks have -1.
    num_tokens_post_pad: rows in use.
    """

    sorted_token_ids: Ints
    sorted_weights: npt.NDArray[np.float32]
    sorted_expert_ids: Ints
    num_tokens_post_pad: int


def moe_align_block_size(topk_ids: npt.NDArray[Any], n_experts: int, block_size: int) -> AlignedIds:
    """Pairs sorted by expert, then token, in blocks; rows suffice for any routing (`static_block_count`).

    topk_ids: integers [T, K]; an id outside 0..E-1 is ignored, and one that a token lists twice has two rows.

    Raises ValueError when topk_ids is not an integer [T, K].

    >>> moe_align_block_size(np.array([[1, 0], [1, -1]]), n_experts=2, block_size=2).sorted_ids.tolist()
    [1, 4, 0, 2, 4, 4]
    """
    mapping = blocks_of_pairs(topk_ids, n_experts, block_size)
    pairs = mapping.token_position_to_id
    real = (pairs >= 0).reshape(-1, block_size).sum(axis=1)
    return AlignedIds(
        np.where(pairs < 0, topk_ids.size, pairs).astype(np.int32),
        _experts_of_blocks(mapping),
        mapping.n_real_blocks * block_size,
        np.concatenate([[0], np.cumsum(real)]).astype(np.int32),
    )


def moe_sorting(
    topk_ids: npt.NDArray[Any],
    topk_weights: npt.NDArray[Any],
    n_experts: int,
    block_size: int,
    *,
    local_experts: Sequence[int] | None = None,
    local_tokens: int | None = None,
    packed: bool = True,
) -> SortedTokens:
    """Pairs sorted by expert, then token, then choice, in blocks, with their weights [T, K]; see `SortingRule`.

    topk_ids: integers [T, K]; an id outside 0..E-1 is ignored, and one that a token lists twice has two rows.

    Raises RequestError when sizes or lists do not fit, and ValueError when topk_ids is not an integer [T, K].

    >>> moe_sorting(np.array([[1, 0], [1, -1]]), np.ones((2, 2)), 2, 2, packed=False).sorted_token_ids.tolist()
    [0, 2, 0, 1, 2, 2]
    """
    experts = None if local_experts is None else tuple(local_experts)
    rule = SortingRule(n_experts, block_size, experts, local_tokens, packed)
    rule.check(topk_ids.shape)
    fix = "Pass the router's weights of these ids."
    require(topk_weights.shape == topk_ids.shape, "topk_weights", f"is {topk_ids.shape}", topk_weights.shape, fix)
    n_tokens, top_k = topk_ids.shape
    local, n_blocks = rule.token_count(n_tokens), rule.block_count(n_tokens, top_k)
    ids = _places_of_experts(topk_ids[:local], rule)
    mapping = blocks_of_pairs(ids, len(rule.experts), block_size, n_blocks)
    pairs = mapping.token_position_to_id
    is_pad = pairs < 0
    rows = np.where(is_pad, rule.row_id(local, top_k), rule.row_id(pairs // top_k, pairs % top_k))
    weights = np.where(is_pad, 0, np.append(topk_weights[:local].reshape(-1), 0)[pairs])
    return SortedTokens(
        rows.astype(np.int32),
        weights.astype(np.float32),
        _experts_of_blocks(mapping),
        mapping.n_real_blocks * block_size,
    )


def _places_of_experts(topk_ids: npt.NDArray[Any], rule: SortingRule) -> npt.NDArray[Any]:
    """Ids as places among the local experts, -1 for others."""
    if rule.local_experts is None:
        return topk_ids
    place_of = np.full(rule.n_experts + 1, -1)  # the last one is of ids that are no expert
    place_of[list(rule.local_experts)] = np.arange(len(rule.local_experts))
    is_expert = (topk_ids >= 0) & (topk_ids < rule.n_experts)
    return place_of[np.where(is_expert, topk_ids, rule.n_experts)]


def _experts_of_blocks(mapping: BlockMapping) -> Ints:
    """-1 for surplus blocks."""
    return np.where(mapping.conditions[:-1] > 0, mapping.block_to_expert, -1).astype(np.int32)


def blocks_of_pairs(
    topk_ids: npt.NDArray[Any], n_experts: int, block_size: int, n_blocks: int | None = None
) -> BlockMapping:
    """The mapping of T * K tokens with one choice each: slots hold token * K + choice, so an id may repeat."""
    if topk_ids.ndim != 2:
        raise ValueError(f"topk_ids must be [T, K], got {topk_ids.shape}; reshape one expert a token to [T, 1]")
    return build_block_mapping(topk_ids.reshape(-1, 1), n_experts, block_size, n_blocks=n_blocks)
