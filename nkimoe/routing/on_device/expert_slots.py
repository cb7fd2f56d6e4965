# SPDX-License-Identifier: Apache-2.0
"""The slot of each token at each of its experts.

A core counts its own tokens, and learns from the other core how many that one has. Its tokens are in tiles of 128, and
so many tiles as fit on chip are a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.on_device.choices import like, load_choices, only_experts, own_tokens
from nkimoe.routing.on_device.counts import ExpertBounds, Ones, add_sums, bounds
from nkimoe.routing.on_device.largest import AT_ONCE, find_largest, room
from nkimoe.routing.on_device.listed import numbers

BATCH_TILES = 32
KEPT_BYTES = 65536  # of a partition, for what tiles list
COMPARED_BYTES = 16384  # of a partition, for comparing choices with experts
EXACT_IN_BF16 = 256


class Batch(NamedTuple):
    """Some tiles of tokens.

    Attributes:
        tokens: their numbers.
        ids: fp32 [128, n, K], -1 for what is no expert.
        listed: bf16 [128, E] of each tile, how often each token counts for an expert.
    """

    tokens: Span
    ids: Any
    listed: list[Any]


class ExpertSlots:
    """The slots of this core's tokens, by expert, then token, each expert's in blocks of B.

    Args:
        expert_ids: int32 [T, K] in HBM; ids outside 0..E-1 are ignored.
        limit: how often a token counts for an expert at most.

    Attributes:
        bounds: of all cores' tokens.
    """

    def __init__(self, expert_ids: Any, n_experts: int, block_size: int, limit: int) -> None:
        self._ids, self._n_experts, self._limit = expert_ids, n_experts, limit
        self._ones, self._one_hots = Ones(numbers(n_experts)), OneHots(n_experts)
        own = own_tokens(int(expert_ids.shape[0]))
        known = KEPT_BYTES // (2 * n_experts)  # tiles
        self._spans = spans(own.size, max(1, min(BATCH_TILES, known)) * PARTITIONS, own.start) or [Span(own.start, 0)]
        self._kept = [self._load(tokens) for tokens in self._spans] if own.size <= known * PARTITIONS else []
        self.bounds = self._count(block_size)

    def batches(self) -> Iterator[Batch]:
        """All of them; loaded when they are asked for, unless all fit on chip."""
        for n, tokens in enumerate(self._spans):
            yield self._kept[n] if self._kept else self._load(tokens)

    def _load(self, tokens: Span) -> Batch:
        ids = only_experts(load_choices(self._ids, tokens, -1), self._n_experts)
        return Batch(tokens, ids, [self._one_hots.sum(ids[:, n, :], self._limit) for n in range(ids.shape[1])])

    def _count(self, block_size: int) -> ExpertBounds:
        own = nl.ndarray((PARTITIONS, self._n_experts), dtype=nl.float32, buffer=nl.sbuf)
        for columns in spans(self._n_experts, PSUM_COLUMNS):
            sums = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.psum)
            tiles = (listed for batch in self.batches() for listed in batch.listed)
            for n, listed in enumerate(tiles):
                nisa.nc_matmul(dst=sums, stationary=self._ones.all, moving=listed[:, columns.slice], accumulate=n > 0)
            nisa.tensor_copy(dst=own[:, columns.slice], src=sums)
        before, total = like(own), own
        nisa.memset(dst=before, value=0)
        if nl.num_programs(0) > 1:
            theirs, other, total = like(own), 1 - nl.program_id(0), like(own)
            nisa.sendrecv(src=own, dst=theirs, send_to_rank=other, recv_from_rank=other, pipe_id=0)
            nisa.tensor_tensor(dst=total, data1=own, data2=theirs, op=nl.add)
            if nl.program_id(0) == 1:
                before = theirs
        return bounds(before, total, block_size)

    def from_the_first(self) -> Callable[[Batch], Any]:
        """What gives batches their slots, one batch after the other."""
        next_slot = like(self.bounds.next_slot)
        nisa.tensor_scalar(dst=next_slot, data=self.bounds.next_slot, op0=nl.add, operand0=1.0)  # so that 0 is no slot

        def slots(batch: Batch) -> Any:
            """fp32 [128, n, K or more]: one more than the slots of each token, descending; then 0 or less."""
            width = ceil_div(batch.ids.shape[2], AT_ONCE) * AT_ONCE
            result = nl.ndarray((PARTITIONS, len(batch.listed), width), dtype=nl.float32, buffer=nl.sbuf)
            for n, listed in enumerate(batch.listed):
                self._place(result[:, n, :], listed, next_slot)
            return result

        return slots

    def _place(self, dst: Any, listed: Any, next_slot: Any) -> None:
        """The slots of a tile of tokens; and move `next_slot` on."""
        after, own = like(next_slot), room(PARTITIONS, self._n_experts)
        add_sums(after, self._ones.earlier, listed, next_slot)
        nisa.scalar_tensor_tensor(
            dst=own[:, : self._n_experts], data=listed, op0=nl.greater, operand0=0.0, op1=nl.multiply, operand1=after
        )
        for _ in find_largest(dst, own):
            pass
        add_sums(next_slot, self._ones.all, listed, next_slot)


class OneHots:
    """How often tokens list each expert, summed over choices on the PE."""

    def __init__(self, n_experts: int) -> None:
        dtype = nl.bfloat16 if n_experts <= EXACT_IN_BF16 else nl.float32
        self._experts = nl.ndarray((PARTITIONS, n_experts), dtype=dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=self._experts, src=numbers(n_experts))
        distance = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
        self._identity = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.iota(dst=distance, pattern=[[1, PARTITIONS]], offset=0, channel_multiplier=-1)
        nisa.tensor_scalar(dst=self._identity, data=distance, op0=nl.equal, operand0=0.0)

    def sum(self, ids: Any, limit: int) -> Any:
        """bf16 [128, E] of fp32 ids [128, K]; what is listed more often than `limit` counts as often."""
        top_k, n_experts = ids.shape[1], self._experts.shape[1]
        result = nl.ndarray((PARTITIONS, n_experts), dtype=nl.bfloat16, buffer=nl.sbuf)
        at_once = max(1, COMPARED_BYTES // (2 * n_experts))
        for columns in spans(n_experts, PSUM_COLUMNS):
            sums = nl.ndarray((PARTITIONS, columns.size), dtype=nl.float32, buffer=nl.psum)
            for some in spans(top_k, at_once):
                one_hots = self._compare(ids[:, some.slice], columns)
                for n in range(some.size):
                    nisa.nc_matmul(
                        dst=sums, stationary=self._identity, moving=one_hots[:, n, :], accumulate=some.start + n > 0
                    )
            if limit < top_k:
                nisa.tensor_scalar(dst=result[:, columns.slice], data=sums, op0=nl.minimum, operand0=float(limit))
            else:
                nisa.tensor_copy(dst=result[:, columns.slice], src=sums, engine=nisa.engine.scalar)
        return result

    def _compare(self, ids: Any, columns: Span) -> Any:
        """bf16 [128, choices, columns]: 1 where a choice is the expert."""
        count, n_experts, dtype = ids.shape[1], self._experts.shape[1], self._experts.dtype
        short = nl.ndarray((PARTITIONS, count), dtype=dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=short, src=ids)
        shape = (PARTITIONS, count, columns.size)
        result = nl.ndarray(shape, dtype=nl.bfloat16, buffer=nl.sbuf)
        experts = self._experts.ap(
            pattern=[[n_experts, PARTITIONS], [0, count], [1, columns.size]], offset=columns.start
        )
        chosen = short.ap(pattern=[[count, PARTITIONS], [1, count], [0, columns.size]])
        nisa.tensor_tensor(dst=result, data1=experts, data2=chosen, op=nl.equal)
        return result
