# SPDX-License-Identifier: Apache-2.0
"""`build_block_mapping` as a kernel: from ids [T, K] to the three tables of `moe_cte`, without the host.

One pass over the tokens counts, which says where every expert's blocks begin; the other scatters token numbers to their
slots.
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.routing.mapping import static_block_count
from nkimoe.routing.on_device.counts import (
    LARGEST_SLOT,
    Ones,
    add_sums,
    bounds,
    count,
    experts_of,
    fill,
    filler_of,
    shares_of,
)
from nkimoe.routing.on_device.listed import at_ids, is_listed, load_ids, numbers, own_numbers

LARGEST_T = 1 << 21  # up to here T / B in fp32 rounds to the right integer


@nki.jit
def build_block_mapping(
    expert_ids: Any, n_experts: int, block_size: int, skip_token: bool = True
) -> tuple[Any, Any, Any]:
    """`nkimoe.routing.build_block_mapping` on one core or two. Shapes follow from shapes, none from values.

    An expert that a token lists twice counts once, where NumPy refuses it. There are always enough blocks.

    Args:
        expert_ids: [T, K] int32; ids outside 0..E-1 are ignored.
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

    shares, by_block = shares_of(n_tokens), slots.reshape((N, block_size))
    fill(by_block, filler_of(by_block, -1 if skip_token else n_tokens))
    if nl.num_programs(0) > 1:
        nisa.core_barrier(data=slots, cores=(0, 1))  # no pad comes after a token
    ones = Ones(numbers(n_experts))
    before, total = count(ones, lambda tokens: _chosen(ones, load_ids(expert_ids, tokens)), shares)
    next_slot, last_block = bounds(before, total, block_size)
    for tokens in shares[nl.program_id(0)]:
        _place(slots, ones, load_ids(expert_ids, tokens), tokens, next_slot)
    _describe_blocks(block_to_expert, conditions, last_block)
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
    fix = "Use smaller blocks or split the batch."
    require(N * block_size < LARGEST_SLOT, "block_size", "gives fewer than 2**24 slots", N * block_size, fix)
    return n_tokens, N


def _chosen(ones: Ones, ids: Any) -> Any:
    """bf16 [tokens, E]: 1 where ids list the expert."""
    return is_listed(ones.experts, ids, nl.bfloat16)


def _place(slots: Any, ones: Ones, ids: Any, tokens: Span, next_slot: Any) -> None:
    """Scatter 128 tokens, and move `next_slot` on."""
    rows, count = ids.shape
    chosen = _chosen(ones, ids)
    after = nl.ndarray((rows, chosen.shape[1]), dtype=nl.float32, buffer=nl.sbuf)
    add_sums(after, ones.earlier[:rows, :rows], chosen, next_slot[:rows])
    nisa.tensor_scalar(dst=after, data=after, op0=nl.add, operand0=1.0)  # so that 0 is no slot
    places = nl.ndarray((rows, count), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=places, data=at_ids(ones.experts, after, ids), op0=nl.add, operand0=-1.0)
    own = own_numbers(tokens, nl.int32)
    for k in range(count):
        place = slots.ap(pattern=[[1, rows], [1, 1]], vector_offset=places[:, k : k + 1], indirect_dim=0)
        nisa.dma_copy(dst=place, src=own, oob_mode=nisa.oob_mode.skip)
    add_sums(next_slot, ones.all[:rows], chosen, next_slot)


def _describe_blocks(block_to_expert: Any, conditions: Any, last_block: Any) -> None:
    """Surplus blocks are the last expert's, and hold no tokens."""
    N, E = block_to_expert.shape[0], last_block.shape[1]
    for turn, blocks in enumerate(spans(N + 1, PARTITIONS)):
        if turn % nl.num_programs(0) != nl.program_id(0):
            continue
        expert = experts_of(blocks, last_block)
        answers = nl.ndarray((blocks.size, 2), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=answers[:, 0:1], data=expert.place, op0=nl.minimum, operand0=float(E - 1))
        nisa.tensor_scalar(dst=answers[:, 1:2], data=expert.is_surplus, op0=nl.equal, operand0=0.0)
        own = Span(blocks.start, min(blocks.stop, N) - blocks.start)
        if own.size:
            nisa.dma_copy(dst=block_to_expert.reshape((N, 1))[own.slice], src=answers[: own.size, 0:1])
        nisa.dma_copy(dst=conditions.reshape((N + 1, 1))[blocks.slice], src=answers[:, 1:2])
