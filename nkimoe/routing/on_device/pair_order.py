# SPDX-License-Identifier: Apache-2.0
"""Where pairs (token, choice) go when they are sorted by expert, in blocks, whatever is written down about them.

The passes are those of `build_block_mapping`. As an expert may stand in a row more than once, a choice's slot also
counts the choices before it in its row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.routing.on_device.counts import LARGEST_SLOT, Ones, add_sums, bounds, count, experts_of, shares_of
from nkimoe.routing.on_device.listed import at_ids, ids_of, times_listed

MOST_PAIRS = 2_500_000  # pairs / B takes three roundings of 2**-24 of it, together below 1 / (2 B) up to 2**24 / 6
MOST_EXPERTS = 4096  # a tile of 128 tokens takes some ten rows of fp32 of each partition
MOST_CHOICES = 256  # a token's choices of one expert are counted in bf16


def check_countable(topk_ids: Any, n_experts: int, n_blocks: int, block_size: int) -> None:
    """Raises RequestError unless ids [T, K] are int32, and the device can count them into so many blocks."""
    n_tokens, top_k = shape = tuple(int(n) for n in topk_ids.shape)
    require(str(topk_ids.dtype) == "int32", "topk_ids", "is int32", topk_ids.dtype, "Cast it.")
    fix = "Sort on the host with nkimoe.routing, or split the batch."
    require(n_tokens > 0, "topk_ids", "has a token or more", shape, "Without tokens there is nothing to sort.")
    require(top_k <= MOST_CHOICES, "topk_ids", f"has up to {MOST_CHOICES} choices", shape, fix)
    require(n_tokens * top_k <= MOST_PAIRS, "topk_ids", f"has up to {MOST_PAIRS} pairs", n_tokens * top_k, fix)
    require(n_experts <= MOST_EXPERTS, "n_experts", f"is up to {MOST_EXPERTS}", n_experts, fix)
    rows = n_blocks * block_size
    require(rows < LARGEST_SLOT, "block_size", "gives fewer than 2**24 rows", rows, "Use smaller blocks, or: " + fix)


class PairOrder:
    """The slots of this core's pairs, a tile of tokens at a time.

    Args:
        experts: whose pairs are sorted, ascending.
        load: fp32 [tokens, K], the ids of a tile of tokens.

    Attributes:
        own: the tiles of tokens of this core.
        last_block: fp32 [128, E], equal rows: blocks of each expert and of all before it.
    """

    def __init__(self, experts: tuple[int, ...], load: Callable[[Span], Any], n_tokens: int, block_size: int) -> None:
        self._ones, self._load, shares = Ones(ids_of(experts)), load, shares_of(n_tokens)
        chosen = self._ones.experts
        before, total = count(self._ones, lambda tokens: times_listed(chosen, load(tokens), nl.bfloat16), shares)
        self._next_slot, self.last_block = bounds(before, total, block_size)
        self.own = shares[nl.program_id(0)]

    def places(self, tokens: Span) -> Any:
        """int32 [tokens, K]: the slot of each choice, -1 for those of no expert. Each tile once, in turn."""
        ids, ones, next_slot = self._load(tokens), self._ones, self._next_slot
        rows, top_k = ids.shape
        chosen = times_listed(ones.experts, ids, nl.bfloat16)
        after = nl.ndarray((rows, chosen.shape[1]), dtype=nl.float32, buffer=nl.sbuf)
        add_sums(after, ones.earlier[:rows, :rows], chosen, next_slot[:rows])
        nisa.tensor_scalar(dst=after, data=after, op0=nl.add, operand0=1.0)  # so that 0 is no slot
        places = nl.ndarray((rows, top_k), dtype=nl.int32, buffer=nl.sbuf)
        for k in range(top_k):
            own = ids[:, k : k + 1]
            place = at_ids(ones.experts, after, own)
            nisa.tensor_scalar(dst=places[:, k : k + 1], data=place, op0=nl.add, operand0=-1.0)
            nisa.scalar_tensor_tensor(
                dst=after, data=ones.experts[:rows], op0=nl.equal, operand0=own, op1=nl.add, operand1=after
            )
        add_sums(next_slot, ones.all[:rows], chosen, next_slot)
        return places


def scatter(table: Any, values: Any, places: Any) -> None:
    """table [places] = values, a row a partition; -1 is no place."""
    dst = table.ap(pattern=[[1, values.shape[0]], [1, 1]], vector_offset=places, indirect_dim=0)
    nisa.dma_copy(dst=dst, src=values, oob_mode=nisa.oob_mode.skip)


def describe(expert_ids: Any, num_tokens_post_pad: Any, last_block: Any, block_size: int) -> None:
    """Experts of blocks, -1 for surplus ones; and rows in use."""
    N, E = expert_ids.shape[0], last_block.shape[1]
    for turn, blocks in enumerate(spans(N, PARTITIONS)):
        if turn % nl.num_programs(0) == nl.program_id(0):
            place, is_surplus = experts_of(blocks, last_block)
            expert = nl.ndarray((blocks.size, 1), dtype=nl.int32, buffer=nl.sbuf)
            nisa.scalar_tensor_tensor(
                dst=expert, data=is_surplus, op0=nl.multiply, operand0=-float(E + 1), op1=nl.add, operand1=place
            )
            nisa.dma_copy(dst=expert_ids.reshape((N, 1))[blocks.slice], src=expert)
    if nl.program_id(0) == 0:
        in_use = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=in_use, data=last_block[0:1, E - 1 : E], op0=nl.multiply, operand0=float(block_size))
        nisa.dma_copy(dst=num_tokens_post_pad.reshape((1, 1)), src=in_use)
