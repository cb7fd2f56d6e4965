"""The mapping in the forms of other systems: SGLang's and aiter's aligned ids, and Composable Kernel's sorted ids.

Both list the pairs (token, choice) by expert, each expert's part filled up to a multiple of the block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nkimoe.routing.mapping import build_block_mapping, routed_pairs

Ints = npt.NDArray[np.int32]
TOKEN_BITS = 24  # of a packed id; the choice is above


class AlignedIds(NamedTuple):
    """What `moe_align_block_size` of SGLang and aiter gives.

    sorted_ids: int32 [rows], token * K + choice of each row, T * K in pads.
    expert_ids: int32 [rows / B], the expert of each block; surplus blocks have E - 1.
    num_tokens_post_pad: rows in use, pads of used blocks included.
    offsets: int32 [rows / B + 1], real rows before each block.
    """

    sorted_ids: Ints
    expert_ids: Ints
    num_tokens_post_pad: int
    offsets: Ints


class SortedTokens(NamedTuple):
    """What `moe_sorting` of Composable Kernel gives.

    sorted_token_ids: int32 [rows], choice << 24 | token; pads K << 24 | T.
    sorted_weights: float32 [rows], 0 in pads.
    sorted_expert_ids: int32 [rows / B], the expert of each block; surplus blocks have E - 1.
    num_tokens_post_pad: rows in use.
    """

    sorted_token_ids: Ints
    sorted_weights: npt.NDArray[np.float32]
    sorted_expert_ids: Ints
    num_tokens_post_pad: int


def moe_align_block_size(topk_ids: npt.NDArray[Any], n_experts: int, block_size: int) -> AlignedIds:
    """Pairs sorted by expert, then token, in blocks; rows suffice for any routing (`static_block_count`).

    topk_ids: integers [T, K]; an id outside 0..E-1 is ignored.

    Raises ValueError as `build_block_mapping`.

    >>> moe_align_block_size(np.array([[1, 0], [1, -1]]), n_experts=2, block_size=2).sorted_ids.tolist()
    [1, 4, 0, 2, 4, 4]
    """
    pairs, experts, n_real_blocks = _rows(topk_ids, n_experts, block_size)
    real = (pairs >= 0).reshape(-1, block_size).sum(axis=1)
    return AlignedIds(
        np.where(pairs < 0, topk_ids.size, pairs).astype(np.int32),
        experts,
        n_real_blocks * block_size,
        np.concatenate([[0], np.cumsum(real)]).astype(np.int32),
    )


def moe_sorting(
    topk_ids: npt.NDArray[Any], topk_weights: npt.NDArray[Any], n_experts: int, block_size: int
) -> SortedTokens:
    """Pairs sorted by expert, then token, in blocks, with packed ids and their weights [T, K].

    Raises ValueError as `build_block_mapping`, or when an id has no room: T from 2**24, K from 2**7.
    """
    n_tokens, top_k = topk_ids.shape
    if n_tokens >= 1 << TOKEN_BITS or top_k >= 1 << (31 - TOKEN_BITS):
        raise ValueError(f"packed ids hold T below 2**24 and K below 2**7, got T={n_tokens}, K={top_k}")
    pairs, experts, n_real_blocks = _rows(topk_ids, n_experts, block_size)
    token, choice = np.divmod(pairs, top_k)
    packed = np.where(pairs < 0, top_k << TOKEN_BITS | n_tokens, choice << TOKEN_BITS | token)
    weights = np.where(pairs < 0, 0, np.append(topk_weights.reshape(-1), 0)[pairs])
    return SortedTokens(packed.astype(np.int32), weights.astype(np.float32), experts, n_real_blocks * block_size)


def _rows(topk_ids: npt.NDArray[Any], n_experts: int, block_size: int) -> tuple[npt.NDArray[Any], Ints, int]:
    """(token * K + choice of each row or -1, expert of each block, blocks in use)."""
    mapping = build_block_mapping(topk_ids, n_experts, block_size)
    tokens, choices, _ = routed_pairs(topk_ids, n_experts)
    rows = np.full(mapping.token_position_to_id.size, -1)
    rows[mapping.token_position_to_id >= 0] = tokens * topk_ids.shape[1] + choices  # slots ascend as pairs do
    return rows, mapping.block_to_expert, mapping.n_real_blocks
