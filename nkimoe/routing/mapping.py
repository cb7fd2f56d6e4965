# SPDX-License-Identifier: Apache-2.0
"""Token-to-block mapping: gather each expert's tokens into blocks of B slots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class BlockMapping:
    """Which token sits in each of the N * B slots, and which expert each of the N blocks uses.

    Attributes:
        token_position_to_id: int32 [N * B], the token in each slot; pad slots hold -1 (skip_token) or T.
        block_to_expert: int32 [N], ascending; surplus blocks belong to expert E - 1.
        conditions: int32 [N + 1], 1 for a block with a token, then 0; the last is 0.
        n_real_blocks: blocks with a token, the first ones.
        n_real_slots: slots with a token, i.e. routed (token, expert) pairs.
    """

    token_position_to_id: Ints
    block_to_expert: Ints
    conditions: Ints
    n_real_blocks: int
    n_real_slots: int

    @property
    def fill(self) -> float:
        """Share of the N * B slots that hold a token, 0..1; the rest is padding. 0 without slots."""
        return self.n_real_slots / max(1, self.token_position_to_id.size)


def static_block_count(n_tokens: int, top_k: int, n_experts: int, block_size: int) -> int:
    """Return a number of blocks N that suffices for every routing of T tokens to at most K of E experts each.

    N = min(ceil((T * K - (E - 1)) / B) + E - 1, T * K), with K = min(top_k, n_experts). Padding is worst when
    E - 1 experts open a block for one token each; and there are never more used blocks than routed pairs.

    Raises:
        ValueError: n_tokens or top_k is negative, or n_experts or block_size is not positive.

    >>> static_block_count(n_tokens=640, top_k=8, n_experts=128, block_size=128)
    167
    """
    if min(n_tokens, top_k) < 0 or min(n_experts, block_size) < 1:
        raise ValueError(
            "n_tokens and top_k must be >= 0, n_experts and block_size >= 1, "
            f"got {n_tokens=}, {top_k=}, {n_experts=}, {block_size=}"
        )
    n_pairs = n_tokens * min(top_k, n_experts)
    return min(-(-(n_pairs - (n_experts - 1)) // block_size) + n_experts - 1, n_pairs)


def build_block_mapping(
    expert_ids: npt.NDArray[Any],
    n_experts: int,
    block_size: int,
    *,
    skip_token: bool = True,
    n_blocks: int | None = None,
) -> BlockMapping:
    """Place every routed (token, expert) pair in a slot of one of its expert's blocks.

    Blocks are sorted by expert, tokens of an expert ascend, and an expert with no tokens has no block.

    Args:
        expert_ids: integers [T, K]; an id outside 0..E-1 (another rank's expert) is ignored.
        block_size: slots B of a block.
        skip_token: pad slots hold -1; False: T, the row of a pad token.
        n_blocks: N; None: static_block_count, enough for any routing.

    Raises:
        ValueError: expert_ids is not an integer [T, K], a token lists an expert twice, or n_blocks is too small.

    Three tokens, two experts, blocks of two: expert 0 gets token 1, expert 1 gets tokens 0, 1 and 2.

    >>> mapping = build_block_mapping(np.array([[1, -1], [1, 0], [-1, 1]]), n_experts=2, block_size=2)
    >>> mapping.token_position_to_id.reshape(-1, 2).tolist()
    [[1, -1], [0, 1], [2, -1], [-1, -1]]
    >>> mapping.block_to_expert.tolist(), mapping.conditions.tolist(), mapping.fill
    ([0, 1, 1, 1], [1, 1, 1, 0, 0], 0.5)
    """
    tokens, _, experts = routed_pairs(expert_ids, n_experts)
    n_tokens, top_k = expert_ids.shape
    sufficient = static_block_count(n_tokens, top_k, n_experts, block_size)
    available = sufficient if n_blocks is None else n_blocks

    pairs_of = np.bincount(experts, minlength=n_experts)
    blocks_of = -(-pairs_of // block_size)
    n_real_blocks = int(blocks_of.sum())
    if available < n_real_blocks:
        raise ValueError(
            f"n_blocks must hold every routed token: {n_real_blocks} blocks of {block_size} are needed, got "
            f"n_blocks={available}; pass n_blocks=None, which takes {sufficient} and suffices for any routing"
        )

    rank_in_expert = np.arange(tokens.size) - (np.cumsum(pairs_of) - pairs_of)[experts]
    first_block = np.cumsum(blocks_of) - blocks_of
    token_position_to_id = np.full(available * block_size, -1 if skip_token else n_tokens, np.int32)
    token_position_to_id[first_block[experts] * block_size + rank_in_expert] = tokens

    block_to_expert = np.full(available, n_experts - 1, np.int32)
    block_to_expert[:n_real_blocks] = np.repeat(np.arange(n_experts), blocks_of)
    conditions = (np.arange(available + 1) < n_real_blocks).astype(np.int32)
    return BlockMapping(token_position_to_id, block_to_expert, conditions, n_real_blocks, tokens.size)


def scatter_affinities(
    weights: npt.NDArray[Any],
    expert_ids: npt.NDArray[Any],
    n_experts: int,
    *,
    skip_token: bool = True,
    dtype: npt.DTypeLike,
) -> npt.NDArray[Any]:
    """Return the masked affinity column [T * E, 1], or [(T + 1) * E, 1] with a zero pad row.

    Row t * E + e holds token t's weight for expert e, or 0 where t is not routed to e.

    Args:
        weights: [T, K], the router's weights for expert_ids.
        expert_ids: integers [T, K]; an id outside 0..E-1 (another rank's expert) is ignored.
        skip_token: no pad row.
        dtype: of the result; a weight too small for it becomes 0, and that pair then contributes nothing.

    Raises:
        ValueError: the two shapes differ, expert_ids is not an integer [T, K], or a token lists an expert twice.

    >>> scatter_affinities(np.array([[0.75, 0.25]]), np.array([[2, 0]]), 3, dtype=np.float32).ravel().tolist()
    [0.25, 0.0, 0.75]
    """
    if weights.shape != expert_ids.shape:
        raise ValueError(
            f"weights and expert_ids must have one shape [T, K], got {weights.shape} and {expert_ids.shape}"
        )
    tokens, choices, experts = routed_pairs(expert_ids, n_experts)
    affinities = np.zeros((len(weights) + (0 if skip_token else 1), n_experts), dtype)
    affinities[tokens, experts] = weights[tokens, choices].astype(dtype)
    return affinities.reshape(-1, 1)


def routed_pairs(expert_ids: npt.NDArray[Any], n_experts: int) -> tuple[npt.NDArray[np.intp], ...]:
    """(token, column of expert_ids, expert) of each pair with a local expert, by expert, then token."""
    if expert_ids.ndim != 2 or not np.issubdtype(expert_ids.dtype, np.integer):
        raise ValueError(
            f"expert_ids must be integers [T, K], got {expert_ids.dtype} {expert_ids.shape}; "
            "reshape one expert a token to [T, 1]"
        )
    tokens, choices = np.nonzero((expert_ids >= 0) & (expert_ids < n_experts))
    experts = expert_ids[tokens, choices].astype(np.intp)
    by_expert = np.argsort(experts, kind="stable")  # np.nonzero already ascends by token
    tokens, choices, experts = tokens[by_expert], choices[by_expert], experts[by_expert]
    repeated = np.flatnonzero((experts[1:] == experts[:-1]) & (tokens[1:] == tokens[:-1]))
    if repeated.size:
        token, expert = int(tokens[repeated[0]]), int(experts[repeated[0]])
        raise ValueError(
            f"expert_ids must list an expert once for a token, got expert {expert} twice for token {token}; "
            "add the two weights and replace one id by -1"
        )
    return tokens, choices, experts
