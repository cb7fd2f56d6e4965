# SPDX-License-Identifier: Apache-2.0
"""The slots of an operation's pairs: as many blocks as there are, or, of ids on a device, as there may be."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nkimoe.ops.routing_tensors import like
from nkimoe.planning.grouped_gemm.choice import BlockCount
from nkimoe.routing import static_block_count
from nkimoe.routing.pair_blocks import pair_blocks
from nkimoe.weights.host_array import is_torch


class PairTables(NamedTuple):
    """Tables of a kernel of pairs, as `PairBlocks` has them, of the kind of the rows.

    Attributes:
        has_gaps: some pairs have no slot, or may have none.
    """

    tokens: Any
    positions: Any
    weights: Any
    block_to_expert: Any
    has_gaps: bool

    @property
    def tables(self) -> tuple[Any, Any, Any, Any]:
        return self.tokens, self.positions, self.weights, self.block_to_expert


def pair_count(ids: Any) -> int:
    """Of ids [T, k]."""
    return math.prod(int(n) for n in ids.shape)


def used_experts(ids: Any, experts: int) -> int:
    """How many experts the ids name; of ids on a device, as many as there are."""
    return experts if is_torch(ids) else np.unique(ids[(ids >= 0) & (ids < experts)]).size


def block_count(ids: Any, experts: int) -> BlockCount:
    """Slots of a block to how many `pair_slots` makes of ids [T, k]."""
    if is_torch(ids):
        return lambda size: static_block_count(pair_count(ids), 1, experts, size)
    each = np.bincount(ids[(ids >= 0) & (ids < experts)], minlength=experts)
    return lambda size: int((-(-each // size)).sum())


def pair_slots(ids: Any, weights: Any, experts: int, block_size: int, rows: Any) -> PairTables | None:
    """Slots of ids and weights [T, k], by expert, then token, then choice; None if no pair has one.

    Of ids on a device every shape follows from shapes, so that a graph holds it.

    Args:
        rows: what the tables are to lie beside.
    """
    if is_torch(ids):
        return _on_device(ids, weights, experts, block_size) if pair_count(ids) else None
    blocks = pair_blocks(ids, weights, experts, block_size)
    if not blocks.block_to_expert.size:
        return None
    tokens, positions = like(blocks.tokens, rows), like(blocks.positions, rows)
    return PairTables(
        tokens, positions, like(blocks.weights, rows), like(blocks.block_to_expert, rows), blocks.has_gaps
    )


def _on_device(ids: Any, weights: Any, experts: int, block_size: int) -> PairTables:
    """A pair is a token of one choice: ids may repeat, and may be none."""
    import torch

    from nkimoe.pytorch.mapping import build_blocks

    pairs, (_, choices) = pair_count(ids), ids.shape
    blocks = build_blocks(ids.reshape(-1, 1), experts, block_size)
    is_pad = blocks.token_position_to_id < 0
    positions = torch.where(is_pad, pairs, blocks.token_position_to_id)
    tokens = torch.where(is_pad, -1, positions // choices)
    of_pads = torch.cat([weights.reshape(-1).float(), weights.new_zeros(1, dtype=torch.float32)])
    return PairTables(tokens.int(), positions.int(), of_pads[positions.long()], blocks.block_to_expert, True)
