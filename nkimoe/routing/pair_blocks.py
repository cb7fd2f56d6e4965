# SPDX-License-Identifier: Apache-2.0
"""Which pair (token, choice) sits in each slot: the mapping of operations that keep a row for each choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nkimoe.routing.sorted_pairs import blocks_of_pairs
from nkimoe.spec import Pairs

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PairBlocks:
    """T * k pairs in N blocks of B slots, by expert, then token, then choice.

    Attributes:
        tokens: int32 [N * B], -1 in pads.
        positions: int32 [N * B], token * k + choice; T * k in pads.
        weights: float32 [N * B], 0 in pads.
        block_to_expert: int32 [N]; of surplus blocks, expert E - 1.
        conditions: int32 [N + 1], 1 for a block with a pair, then 0.
        choices: k.
        has_gaps: some pairs have no slot, since their id is no expert.
    """

    tokens: Ints
    positions: Ints
    weights: npt.NDArray[np.float32]
    block_to_expert: Ints
    conditions: Ints
    choices: int
    has_gaps: bool

    @property
    def pairs(self) -> Pairs:
        """The argument of `moe_cte`."""
        return Pairs(self.positions, self.weights, self.choices, has_gaps=self.has_gaps)


def pair_blocks(
    topk_ids: npt.NDArray[Any],
    topk_weights: npt.NDArray[Any],
    n_experts: int,
    block_size: int,
    n_blocks: int | None = None,
) -> PairBlocks:
    """The blocks of ids [T, k] and weights [T, k]; an id that is no expert has no slot, a repeated one has several.

    n_blocks: N; by default those that hold pairs. `static_block_count` gives a number that suffices for any routing.

    Raises ValueError when topk_ids is not an integer [T, k], or n_blocks is too small.

    >>> blocks = pair_blocks(np.array([[1, 0], [1, -1]]), np.ones((2, 2)), n_experts=2, block_size=2)
    >>> blocks.tokens.tolist(), blocks.positions.tolist(), blocks.block_to_expert.tolist(), blocks.has_gaps
    ([0, -1, 0, 1], [1, 4, 0, 2], [0, 1], True)
    """
    mapping = blocks_of_pairs(topk_ids, n_experts, block_size, n_blocks)
    used, pairs = mapping.n_real_blocks if n_blocks is None else n_blocks, topk_ids.size
    positions = mapping.token_position_to_id[: used * block_size]
    is_pad = positions < 0
    weights = np.append(topk_weights.reshape(-1), 0).astype(np.float32)[positions]
    return PairBlocks(
        np.where(is_pad, -1, positions // max(topk_ids.shape[1], 1)).astype(np.int32),
        np.where(is_pad, pairs, positions).astype(np.int32),
        np.where(is_pad, np.float32(0), weights),
        mapping.block_to_expert[:used],
        np.append(mapping.conditions[:used], np.int32(0)),
        topk_ids.shape[1],
        int((~is_pad).sum()) < pairs,
    )
