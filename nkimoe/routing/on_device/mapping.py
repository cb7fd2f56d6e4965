# SPDX-License-Identifier: Apache-2.0
"""`build_block_mapping` as a kernel: from ids [T, K] to the three tables of `moe_cte`, without the host.

Tokens are counted, which says where every expert's blocks begin; put in order, some thousand at a time; and from these
tables the slots of each block are put together.
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.planning.tiling import PARTITIONS, Span
from nkimoe.routing.mapping import static_block_count
from nkimoe.routing.on_device.block_pieces import BlockPieces
from nkimoe.routing.on_device.block_tables import BlockTables
from nkimoe.routing.on_device.counts import LARGEST_SLOT
from nkimoe.routing.on_device.expert_slots import ExpertSlots
from nkimoe.routing.on_device.slot_tables import Geometry, SlotTables, less_one, places_of
from nkimoe.routing.on_device.token_groups import TokenGroups

MOST_CHOICES = 256  # of a token: a row of its group's table is in one bank of PSUM
LARGEST_T = 1 << 21  # up to here T / B in fp32 rounds to the right integer


@nki.jit
def build_block_mapping(
    expert_ids: Any, n_experts: int, block_size: int, skip_token: bool = True
) -> tuple[Any, Any, Any]:
    """`nkimoe.routing.build_block_mapping` on one core or two. Shapes follow from shapes, none from values.

    An expert that a token lists twice counts once, where NumPy refuses it. There are always enough blocks.

    Args:
        expert_ids: [T, K] int32, K up to 256; ids outside 0..E-1 are ignored.
        n_experts: E, up to 4096.
        block_size: B.
        skip_token: pad slots hold -1; False: T.

    Returns:
        token_position_to_id int32 [N * B], block_to_expert int32 [N], conditions int32 [N + 1], where N is
        `nkimoe.routing.static_block_count(T, K, E, B)`.

    Raises:
        RequestError: sizes out of range, or ids of another shape or dtype.
    """
    n_tokens, N = _checked(expert_ids, n_experts, block_size)
    with name_scope("build_block_mapping"):
        slots = shared_tensor((N * block_size,), nl.int32, "token_position_to_id")
        block_to_expert = shared_tensor((N,), nl.int32, "block_to_expert")
        conditions = shared_tensor((N + 1,), nl.int32, "conditions")

    top_k = int(expert_ids.shape[1])
    groups = TokenGroups.of(n_tokens, top_k, n_experts)
    tables = SlotTables(groups, Geometry.of(groups, top_k, block_size), 1)
    first = tables.geometry.piece
    expert_slots = ExpertSlots(expert_ids, n_experts, groups, limit=1, first=first)
    blocks = BlockTables(expert_slots.counts, groups, n_experts, block_size, first)
    found = blocks.describe(block_to_expert, conditions)
    for group in expert_slots.groups():
        own = places_of(expert_slots.of(group)[:, :, :top_k], tables.geometry)
        tables.add(own, (_tokens(group.tokens, len(group.listed)),))
    tables.finish()
    for rows, columns, values in BlockPieces(tables).of(found, block_size):
        part = less_one(values[:, :, 0], -1 if skip_token else n_tokens)
        nisa.dma_copy(dst=slots.reshape((N, block_size))[rows.slice, columns.slice], src=part)
    return slots, block_to_expert, conditions


def _checked(expert_ids: Any, n_experts: int, block_size: int) -> tuple[int, int]:
    """T and N."""
    shape = tuple(int(n) for n in expert_ids.shape)
    require(len(shape) == 2, "expert_ids", "is [T, K]", shape, "Reshape one expert a token to [T, 1].")
    require(str(expert_ids.dtype) == "int32", "expert_ids", "is int32", expert_ids.dtype, "Cast it.")
    n_tokens, top_k = shape
    rule = f"has 1 to {LARGEST_T - 1} tokens with an expert or more"
    require(0 < n_tokens < LARGEST_T and top_k > 0, "expert_ids", rule, shape, "Without tokens there is no mapping.")
    require(1 <= n_experts <= 4096, "n_experts", "is 1 to 4096", n_experts, "Map on the host with nkimoe.routing.")
    require(block_size >= 1, "block_size", "is positive", block_size, "Pass the block_size of moe_cte.")
    N = static_block_count(n_tokens, top_k, n_experts, block_size)
    fix = "Map on the host with nkimoe.routing."
    require(top_k <= MOST_CHOICES, "expert_ids", f"have up to {MOST_CHOICES} choices a token", shape, fix)
    fix = "Use smaller blocks or split the batch."
    require(N * block_size < LARGEST_SLOT, "block_size", "gives fewer than 2**24 slots", N * block_size, fix)
    return n_tokens, N


def _tokens(tokens: Span, tiles: int) -> Any:
    """fp32 [128, n, 1]: one more than the number of each token, so that 0 is none."""
    result = nl.ndarray((PARTITIONS, tiles, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.iota(dst=result, pattern=[[PARTITIONS, tiles], [1, 1]], offset=tokens.start + 1, channel_multiplier=1)
    return result
