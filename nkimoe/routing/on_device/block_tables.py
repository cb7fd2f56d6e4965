# SPDX-License-Identifier: Apache-2.0
"""Whose each block is, and where groups of tokens have what stands in its slots.

An expert is a partition first. Sums over the experts before it say where its blocks begin, and matmuls with ones look
up for each block what is true of its expert.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans
from nkimoe.routing.on_device.choices import like
from nkimoe.routing.on_device.token_groups import TokenGroups

EXPERT, IS_REAL, BOUNDS = range(3)  # what is looked up; from BOUNDS on of each group
READY_BYTES = 32768  # of a partition: what is looked up before the tables are summed


class BlockSources(NamedTuple):
    """Consecutive blocks.

    Attributes:
        numbers: which; the last one may be N, which is none.
        n_real: how many are below N.
        bounds: fp32 [blocks, groups + 1]: from which of the block's slots on each group's tokens are in it, and pads.
        sources: fp32 [blocks, groups]: the slot of each group that belongs into the block's first one.
        everywhere: fp32 [128, groups, blocks], equal rows: the same.
    """

    numbers: Span
    n_real: int
    bounds: Any
    sources: Any
    everywhere: Any


class BlockTables:
    """This core's blocks.

    Args:
        counts: fp32 [128, tiles of 128 experts, groups], an expert a partition: its tokens in each group.
        block_size: B.
        first: the first slot of every group.
    """

    def __init__(self, counts: Any, groups: TokenGroups, n_experts: int, block_size: int, first: int) -> None:
        self._experts, self._n_groups = spans(n_experts, PARTITIONS), len(groups.all)
        self._block_size, self._first = block_size, first
        tiles, G = len(self._experts), self._n_groups
        # Of each group the first slot, and of all the first block.
        summed = nl.ndarray((PARTITIONS, tiles, G + 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=summed[:, :, :G], src=counts[:, :, :G])
        n_blocks = self._count_blocks(counts)
        nisa.tensor_copy(dst=summed[:, :, G], src=n_blocks)
        before = self._sums_before(summed)
        self._first_block, self._last_block = before[:, :, G], like(n_blocks)
        nisa.tensor_tensor(dst=self._last_block, data1=self._first_block, data2=n_blocks, op=nl.add)
        self._of_experts = self._describe_experts(counts, before[:, :, :G])

    def _count_blocks(self, counts: Any) -> Any:
        """fp32 [128, tiles]: total / B rounded up, which is total / B + 1/2 - 1/(2 B) rounded to the nearest."""
        tiles, B = int(counts.shape[1]), self._block_size
        total, result = (nl.ndarray((PARTITIONS, tiles), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        whole = nl.ndarray((PARTITIONS, tiles), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=total, op=nl.add, data=counts, axis=2)
        nisa.tensor_scalar(dst=whole, data=total, op0=nl.multiply, operand0=1 / B, op1=nl.add, operand1=0.5 - 0.5 / B)
        nisa.tensor_copy(dst=result, src=whole)
        return result

    def _sums_before(self, values: Any) -> Any:
        """fp32, as values [128, tiles, columns]: sums over the experts before each."""
        square = (PARTITIONS, PARTITIONS)
        distance, earlier, ones = (nl.ndarray(square, dtype=nl.float32, buffer=nl.sbuf) for _ in range(3))
        nisa.iota(dst=distance, pattern=[[1, PARTITIONS]], offset=0, channel_multiplier=-1)
        nisa.tensor_scalar(dst=earlier, data=distance, op0=nl.greater, operand0=0.0)
        nisa.memset(dst=ones, value=1, engine=nisa.engine.gpsimd)
        result = like(values)
        if self._experts[-1].size < PARTITIONS:
            nisa.memset(dst=result[:, len(self._experts) - 1, :], value=0)
        for e, own in enumerate(self._experts):
            sums = nl.ndarray((own.size, values.shape[2]), dtype=nl.float32, buffer=nl.psum)
            for before, some in enumerate(self._experts[: e + 1]):
                nisa.nc_matmul(
                    dst=sums,
                    stationary=(earlier if before == e else ones)[: some.size, : own.size],
                    moving=values[: some.size, before, :],
                    is_stationary_onezero=True,
                    accumulate=before > 0,
                )
            nisa.tensor_copy(dst=result[: own.size, e, :], src=sums)
        return result

    def _describe_experts(self, counts: Any, first_slots: Any) -> Any:
        """fp32 [128, tiles, what is looked up]: the expert, one, where each group's tokens begin in the slots of all
        blocks and where they end, and how much further on they lie among the group's own slots."""
        tiles, G = len(self._experts), self._n_groups
        result = nl.ndarray((PARTITIONS, tiles, BOUNDS + 2 * G + 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=result[:, :, EXPERT], pattern=[[PARTITIONS, tiles]], offset=0, channel_multiplier=1)
        nisa.memset(dst=result[:, :, IS_REAL], value=1, engine=nisa.engine.gpsimd)
        bounds, sources = result[:, :, BOUNDS : BOUNDS + G + 1], result[:, :, BOUNDS + G + 1 :]
        B = float(self._block_size)
        nisa.tensor_scalar(dst=bounds[:, :, 0], data=self._first_block, op0=nl.multiply, operand0=B)
        for g in range(G):
            nisa.tensor_tensor(dst=bounds[:, :, g + 1], data1=bounds[:, :, g], data2=counts[:, :, g], op=nl.add)
        nisa.tensor_tensor(dst=sources, data1=first_slots, data2=bounds[:, :, :G], op=nl.subtract)
        return result

    def describe(self, block_to_expert: Any, conditions: Any) -> Iterable[BlockSources]:
        """This core's blocks; and fill int32 [N] and [N + 1]. Surplus ones are the last expert's, and hold no tokens.

        Not before they are asked for, if they are too many to be kept.
        """
        N, cores = int(block_to_expert.shape[0]), nl.num_programs(0)
        each = ceil_div(N + 1, cores)
        first, tiles = each * nl.program_id(0), ceil_div(each, PARTITIONS)
        parts = spans(min(each, N + 1 - first), ceil_div(each, tiles), first)
        found = (self._describe(block_to_expert, conditions, blocks) for blocks in parts)
        return list(found) if 4 * self._n_groups * each <= READY_BYTES else found

    def _describe(self, block_to_expert: Any, conditions: Any, blocks: Span) -> BlockSources:
        G, B = self._n_groups, self._block_size
        are_of = self._are_of(blocks)
        found = self._look_up(are_of)
        n_real = min(blocks.stop, int(block_to_expert.shape[0])) - blocks.start
        self._store(block_to_expert, conditions, found, Span(blocks.start, n_real))
        first = nl.ndarray((blocks.size, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=first, pattern=[[1, 1]], offset=blocks.start * B, channel_multiplier=B)
        bounds, sources = (
            nl.ndarray((blocks.size, columns), dtype=nl.float32, buffer=nl.sbuf) for columns in (G + 1, G)
        )
        nisa.tensor_scalar(dst=bounds, data=found[:, BOUNDS : BOUNDS + G + 1], op0=nl.subtract, operand0=first)
        nisa.tensor_scalar(
            dst=sources, data=found[:, BOUNDS + G + 1 :], op0=nl.add, operand0=first, op1=nl.add,
            operand1=float(self._first),
        )  # fmt: skip
        return BlockSources(blocks, n_real, bounds, sources, self._everywhere(blocks, are_of))

    def _are_of(self, blocks: Span) -> Any:
        """fp32 [128, tiles of experts, blocks]: 1 where an expert has a block."""
        number = nl.ndarray((PARTITIONS, blocks.size), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=number, pattern=[[1, blocks.size]], offset=blocks.start, channel_multiplier=0)
        result = nl.ndarray((PARTITIONS, len(self._experts), blocks.size), dtype=nl.float32, buffer=nl.sbuf)
        for e in range(len(self._experts)):
            begun, own = like(number), slice(e, e + 1)
            nisa.tensor_scalar(dst=begun, data=number, op0=nl.greater_equal, operand0=self._first_block[:, own])
            nisa.scalar_tensor_tensor(
                dst=result[:, e, :], data=number, op0=nl.less, operand0=self._last_block[:, own], op1=nl.multiply,
                operand1=begun,
            )  # fmt: skip
        return result

    def _look_up(self, are_of: Any) -> Any:
        """fp32 [blocks, what is looked up]: of each block's expert; 0 for surplus blocks."""
        shape = (int(are_of.shape[2]), int(self._of_experts.shape[2]))
        sums, result = (nl.ndarray(shape, dtype=nl.float32, buffer=where) for where in (nl.psum, nl.sbuf))
        for e, experts in enumerate(self._experts):
            nisa.nc_matmul(
                dst=sums, stationary=are_of[: experts.size, e, :], moving=self._of_experts[: experts.size, e, :],
                is_stationary_onezero=True, accumulate=e > 0,
            )  # fmt: skip
        nisa.tensor_copy(dst=result, src=sums)
        return result

    def _everywhere(self, blocks: Span, are_of: Any) -> Any:
        """fp32 [128, groups, blocks], equal rows: the sources, each a sum over the partitions that repeat it."""
        B, G = self._block_size, self._n_groups
        first = nl.ndarray((PARTITIONS, blocks.size), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=first, pattern=[[B, blocks.size]], offset=blocks.start * B + self._first, channel_multiplier=0)
        result = nl.ndarray((PARTITIONS, G, blocks.size), dtype=nl.float32, buffer=nl.sbuf)
        for g in range(G):
            sums, column = nl.ndarray(tuple(first.shape), dtype=nl.float32, buffer=nl.psum), BOUNDS + G + 1 + g
            for e, experts in enumerate(self._experts):
                value = self._of_experts[: experts.size, e, column : column + 1]
                nisa.nc_matmul(
                    dst=sums, stationary=value.broadcast(1, PARTITIONS), moving=are_of[: experts.size, e, :],
                    is_moving_onezero=True, accumulate=e > 0,
                )  # fmt: skip
            nisa.tensor_tensor(dst=result[:, g, :], data1=sums, data2=first, op=nl.add)
        return result

    def _store(self, block_to_expert: Any, conditions: Any, found: Any, real: Span) -> None:
        N, last, count = int(block_to_expert.shape[0]), float(self._experts[-1].stop - 1), int(found.shape[0])
        answers = nl.ndarray((count, 2), dtype=nl.int32, buffer=nl.sbuf)
        surplus = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
        is_real = found[:, IS_REAL : IS_REAL + 1]
        nisa.tensor_scalar(dst=surplus, data=is_real, op0=nl.multiply, operand0=-last, op1=nl.add, operand1=last)
        nisa.tensor_tensor(dst=answers[:, 0:1], data1=surplus, data2=found[:, EXPERT : EXPERT + 1], op=nl.add)
        nisa.tensor_copy(dst=answers[:, 1:2], src=is_real)
        if real.size:
            nisa.dma_copy(dst=block_to_expert.reshape((N, 1))[real.slice], src=answers[: real.size, 0:1])
        rows = conditions.reshape((N + 1, 1))[real.start : real.start + count]
        nisa.dma_copy(dst=rows, src=answers[:, 1:2])
