# SPDX-License-Identifier: Apache-2.0
"""`pair_blocks` as a kernel: from ids and weights [T, K] to the tables of `moe_cte` with pairs, without the host."""

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
from nkimoe.routing.on_device.choices import at, by_expert, like, load_choices
from nkimoe.routing.on_device.expert_slots import ExpertSlots, Group
from nkimoe.routing.on_device.pair_order import check_countable
from nkimoe.routing.on_device.slot_tables import Geometry, SlotTables, less_one, places_of
from nkimoe.routing.on_device.token_groups import TokenGroups


@nki.jit
def pair_blocks(topk_ids: Any, topk_weights: Any, n_experts: int, block_size: int) -> tuple[Any, Any, Any, Any, Any]:
    """`nkimoe.routing.pair_blocks` on one core or two. Shapes follow from shapes, none from values.

    Args:
        topk_ids: [T, K] int32, K up to 256; an id outside 0..E-1 has no slot, a repeated one has several.
        topk_weights: [T, K] float32, finite: one that is not leaves no weight that means anything.
        n_experts: E, up to 4096.
        block_size: B.

    Returns:
        (tokens int32 [N * B], positions int32 [N * B], weights float32 [N * B], block_to_expert int32 [N], conditions
        int32 [N + 1]), where N is `nkimoe.routing.static_block_count(T * K, 1, E, B)`; see `nkimoe.routing.PairBlocks`.

    Raises:
        RequestError: sizes out of range, or tensors of another shape or dtype.
    """
    pairs, N = _checked(topk_ids, topk_weights, n_experts, block_size)
    with name_scope("pair_blocks"):
        tokens = shared_tensor((N * block_size,), nl.int32, "tokens")
        positions = shared_tensor((N * block_size,), nl.int32, "positions")
        weights = shared_tensor((N * block_size,), nl.float32, "weights")
        block_to_expert = shared_tensor((N,), nl.int32, "block_to_expert")
        conditions = shared_tensor((N + 1,), nl.int32, "conditions")
    n_tokens, top_k = (int(n) for n in topk_ids.shape)
    groups = TokenGroups.of(n_tokens, top_k, n_experts)
    tables = SlotTables(groups, Geometry.of(groups, top_k, block_size), 2)
    first = tables.geometry.piece
    expert_slots = ExpertSlots(topk_ids, n_experts, groups, limit=top_k, first=first)
    blocks = BlockTables(expert_slots.counts, groups, n_experts, block_size, first)
    found = blocks.describe(block_to_expert, conditions)
    for group in expert_slots.groups():
        own, choices = _slots(group, expert_slots.of(group))
        own_weights = at(load_choices(topk_weights, group.tokens, 0), choices)
        tables.add(places_of(own, tables.geometry), (_numbers(group.tokens, choices), own_weights))
    tables.finish()
    for rows, columns, values in BlockPieces(tables).of(found, block_size):
        numbers = values[:, :, 0]
        for table, part in (
            (tokens, _tokens(numbers, top_k)),
            (positions, less_one(numbers, pairs)),
            (weights, _contiguous(values[:, :, 1])),
        ):
            nisa.dma_copy(dst=table.reshape((N, block_size))[rows.slice, columns.slice], src=part)
    return tokens, positions, weights, block_to_expert, conditions


def _checked(topk_ids: Any, topk_weights: Any, n_experts: int, block_size: int) -> tuple[int, int]:
    """T * K and N."""
    shape = tuple(int(n) for n in topk_ids.shape)
    require(len(shape) == 2 and min(shape) > 0, "topk_ids", "is [T, K], none of them 0", shape, "Reshape it.")
    given = (tuple(int(n) for n in topk_weights.shape), str(topk_weights.dtype))
    require(given == (shape, "float32"), "topk_weights", f"is float32 {shape}", given, "Cast or fix it.")
    for name, size in (("n_experts", n_experts), ("block_size", block_size)):
        require(size >= 1, name, "is positive", size, "Pass the layer's own.")
    pairs = shape[0] * shape[1]
    N = static_block_count(pairs, 1, n_experts, block_size)
    check_countable(topk_ids, n_experts, N, block_size)
    return pairs, N


def _slots(group: Group, of_experts: Any) -> tuple[Any, Any]:
    """fp32 [128, n, K]: one more than each choice's slot, 0 or less for none; and which choice that is."""
    order = by_expert(group.ids)
    slots, is_expert = at(of_experts, order.experts), like(group.ids)
    nisa.tensor_tensor(dst=slots, data1=slots, data2=order.repeats, op=nl.add)
    nisa.tensor_scalar(dst=is_expert, data=order.ids, op0=nl.greater_equal, operand0=0.0)
    nisa.tensor_tensor(dst=slots, data1=slots, data2=is_expert, op=nl.multiply)
    return slots, order.choices


def _numbers(tokens: Span, choices: Any) -> Any:
    """fp32 [128, n, K]: token * K + choice + 1, so that 0 is no pair."""
    _, tiles, top_k = choices.shape
    result = like(choices)
    nisa.iota(
        dst=result, pattern=[[PARTITIONS * top_k, tiles], [0, top_k]], offset=tokens.start * top_k + 1,
        channel_multiplier=top_k,
    )  # fmt: skip
    nisa.tensor_tensor(dst=result, data1=result, data2=choices, op=nl.add)
    return result


def _contiguous(values: Any) -> Any:
    """A copy, for a transfer of long runs."""
    result = like(values)
    nisa.tensor_copy(dst=result, src=values, engine=nisa.engine.scalar)
    return result


def _tokens(numbers: Any, top_k: int) -> Any:
    """int32: the token of each slot, -1 in pads.

    That is (number - 1) / K rounded down, which is the nearest to 1/2 - 1/(2 K) less.
    """
    result = nl.ndarray(tuple(numbers.shape), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=result, data=numbers, op0=nl.multiply, operand0=1 / top_k, op1=nl.add, operand1=-0.5 - 0.5 / top_k
    )
    return result
