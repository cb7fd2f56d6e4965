# SPDX-License-Identifier: Apache-2.0
"""Blocks: whose each is, and where groups of tokens have what its slots hold. An expert is a partition, then a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.on_device.choices import like
from nkimoe.routing.on_device.listed import own_numbers
from nkimoe.routing.on_device.slot_tables import SlotTables
from nkimoe.routing.on_device.token_groups import TokenGroups

EXPERT, IS_REAL, BOUNDS = range(3)  # what is looked up of a block's expert; from BOUNDS on of each group


NOWHERE = float(1 << 22)  # a place behind all others
READY_BYTES = 65536  # of a partition, for places that are computed before what they are places in
READ_BYTES = 32768  # of a partition: rows of groups that are looked through at a time


class _Blocks(NamedTuple):
    """Consecutive blocks, a block a partition.

    Attributes:
        blocks: their numbers; the last one may be N, which is none.
        bounds: fp32 [blocks, groups + 1]: from which slot of the block on each group's tokens are in it, and pads.
        sources: fp32 [blocks, groups]: the slot of each group that belongs into the block's first slot.
        n_real: how many are below N.
    """

    blocks: Span
    bounds: Any
    sources: Any
    are_of: Any
    n_real: int


class _Part(NamedTuple):
    """Where some groups have what stands in some slots of blocks.

    Attributes:
        groups: which.
        rows: fp32 [128, blocks], equal rows, of each group: the first of those that are read.
        places: uint32 [blocks, slots * values]: where in what is read; behind all rows where no group has it.
    """

    groups: Span
    rows: list[Any]
    places: Any


class BlockTables:
    """What stands in the slots of this core's blocks.

    Args:
        counts: fp32 [128, tiles of 128 experts, groups], an expert a partition: its tokens of each group.
        block_size: B.
        first: the first slot of every group.
    """

    def __init__(self, counts: Any, groups: TokenGroups, n_experts: int, block_size: int, first: int) -> None:
        self._experts, self._groups, self._present = spans(n_experts, PARTITIONS), counts.shape[2], len(groups.all)
        self._block_size, self._first = block_size, first
        self._of_experts = self._describe_experts(counts)

    def _describe_experts(self, counts: Any) -> Any:
        """fp32 [128, tiles, what is looked up]."""
        tiles, G = len(self._experts), self._groups
        result = nl.ndarray((PARTITIONS, tiles, BOUNDS + 2 * G + 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=result[:, :, EXPERT], pattern=[[PARTITIONS, tiles]], offset=0, channel_multiplier=1)
        nisa.memset(dst=result[:, :, IS_REAL], value=1)
        bounds, sources = result[:, :, BOUNDS : BOUNDS + G + 1], result[:, :, BOUNDS + G + 1 :]
        summed, total = (nl.ndarray((PARTITIONS, tiles, n), dtype=nl.float32, buffer=nl.sbuf) for n in (G + 1, 1))
        nisa.tensor_copy(dst=summed[:, :, :G], src=counts)
        nisa.tensor_reduce(dst=total, op=nl.add, data=counts, axis=2)
        self._count_blocks(summed[:, :, G:], total)
        before = self._sums_before(summed)
        self._first_block, self._last_block = before[:, :, G], like(before[:, :, G])
        nisa.tensor_tensor(dst=self._last_block, data1=before[:, :, G], data2=summed[:, :, G], op=nl.add)
        nisa.tensor_scalar(
            dst=bounds[:, :, 0], data=before[:, :, G], op0=nl.multiply, operand0=float(self._block_size)
        )
        for g in range(G):
            nisa.tensor_tensor(dst=bounds[:, :, g + 1], data1=bounds[:, :, g], data2=counts[:, :, g], op=nl.add)
        nisa.tensor_tensor(dst=sources, data1=before[:, :, :G], data2=bounds[:, :, :G], op=nl.subtract)
        return result

    def _count_blocks(self, dst: Any, total: Any) -> None:
        """total / B rounded up, which is total / B + 1/2 - 1/(2 B) rounded to the nearest."""
        B = self._block_size
        whole = nl.ndarray(tuple(total.shape), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=whole, data=total, op0=nl.multiply, operand0=1 / B, op1=nl.add, operand1=0.5 - 0.5 / B
        )
        nisa.tensor_copy(dst=dst, src=whole)

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

    def describe(self, block_to_expert: Any, conditions: Any) -> list[_Blocks]:
        """Fill int32 [N] and [N + 1] of this core's blocks. Surplus ones are the last expert's, and hold no tokens."""
        N, cores = int(block_to_expert.shape[0]), nl.num_programs(0)
        each = ceil_div(N + 1, cores)
        first, tiles = each * nl.program_id(0), ceil_div(each, PARTITIONS)
        result = []
        for blocks in spans(min(each, N + 1 - first), ceil_div(each, tiles), first):
            are_of = self._are_of(blocks)
            found = self._look_up(are_of)
            self._store(block_to_expert, conditions, found, blocks)
            result.append(self._blocks(found, are_of, blocks, min(blocks.stop, N) - blocks.start))
        return result

    def _are_of(self, blocks: Span) -> Any:
        """fp32 [128, tiles of experts, blocks]: 1 where an expert has a block."""
        number = _row(blocks.size, 1, blocks.start)
        result = nl.ndarray((PARTITIONS, len(self._experts), blocks.size), dtype=nl.float32, buffer=nl.sbuf)
        for e in range(len(self._experts)):
            begun, column = like(number), slice(e, e + 1)
            nisa.tensor_scalar(
                dst=begun, data=number, op0=nl.greater_equal, operand0=self._first_block[:, column]
            )
            nisa.scalar_tensor_tensor(
                dst=result[:, e, :], data=number, op0=nl.less, operand0=self._last_block[:, column],
                op1=nl.multiply, operand1=begun,
            )  # fmt: skip
        return result

    def _look_up(self, are_of: Any) -> Any:
        """fp32 [blocks, what is looked up]: of each block's expert; 0 for surplus blocks."""
        shape = (int(are_of.shape[2]), int(self._of_experts.shape[2]))
        sums = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
        for e, experts in enumerate(self._experts):
            nisa.nc_matmul(
                dst=sums, stationary=are_of[: experts.size, e, :], moving=self._of_experts[: experts.size, e, :],
                is_stationary_onezero=True, accumulate=e > 0,
            )  # fmt: skip
        result = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=result, src=sums)
        return result

    def _store(self, block_to_expert: Any, conditions: Any, found: Any, blocks: Span) -> None:
        N, last = int(block_to_expert.shape[0]), float(self._experts[-1].stop - 1)
        answers = nl.ndarray((blocks.size, 2), dtype=nl.int32, buffer=nl.sbuf)
        surplus = nl.ndarray((blocks.size, 1), dtype=nl.float32, buffer=nl.sbuf)
        is_real = found[:, IS_REAL : IS_REAL + 1]
        nisa.tensor_scalar(dst=surplus, data=is_real, op0=nl.multiply, operand0=-last, op1=nl.add, operand1=last)
        nisa.tensor_tensor(dst=answers[:, 0:1], data1=surplus, data2=found[:, EXPERT : EXPERT + 1], op=nl.add)
        nisa.tensor_copy(dst=answers[:, 1:2], src=is_real)
        own = Span(blocks.start, min(blocks.stop, N) - blocks.start)
        if own.size:
            nisa.dma_copy(dst=block_to_expert.reshape((N, 1))[own.slice], src=answers[: own.size, 0:1])
        nisa.dma_copy(dst=conditions.reshape((N + 1, 1))[blocks.slice], src=answers[:, 1:2])

    def _blocks(self, found: Any, are_of: Any, blocks: Span, n_real: int) -> _Blocks:
        G, B = self._groups, self._block_size
        bounds, sources = (
            nl.ndarray((blocks.size, columns), dtype=nl.float32, buffer=nl.sbuf) for columns in (G + 1, G)
        )
        first = nl.ndarray((blocks.size, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=first, pattern=[[1, 1]], offset=blocks.start * B, channel_multiplier=B)
        nisa.tensor_scalar(dst=bounds, data=found[:, BOUNDS : BOUNDS + G + 1], op0=nl.subtract, operand0=first)
        nisa.tensor_scalar(
            dst=sources, data=found[:, BOUNDS + G + 1 :], op0=nl.add, operand0=first, op1=nl.add,
            operand1=float(self._first),
        )  # fmt: skip
        return _Blocks(blocks, bounds, sources, are_of, n_real)

    def pieces(self, found: list[_Blocks], tables: SlotTables) -> Iterator[tuple[Any, Span, Span]]:
        """(fp32 [blocks, slots, values], which blocks, which of their slots) of all of them; pads are 0.

        No group is added to `tables` any more. What does not depend on them is computed before the last group is
        summed.
        """
        parts = (
            (own, slots, [self._part(own, slots.start, tables, some) for some in self._at_once(tables)])
            for own in found
            for slots in spans(self._block_size, tables.geometry.piece)
            if own.n_real
        )
        values_of_core = sum(own.blocks.size for own in found) * self._block_size * tables.values // PARTITIONS
        ready = list(parts) if 4 * values_of_core <= READY_BYTES else parts
        tables.finish()
        for own, slots, of_groups in ready:
            shape = (own.blocks.size, tables.geometry.piece, tables.values)
            yield self._merged(of_groups, tables, shape), Span(own.blocks.start, own.n_real), slots

    def _at_once(self, tables: SlotTables) -> list[Span]:
        """Groups whose rows are looked through together."""
        return spans(self._present, max(1, READ_BYTES // (4 * tables.geometry.copies * tables.row)))

    def _merged(self, parts: list[_Part], tables: SlotTables, shape: tuple[int, ...]) -> Any:
        flat = (shape[0], shape[1] * shape[2])
        total = nl.ndarray(flat, dtype=nl.float32, buffer=nl.sbuf)
        for n, part in enumerate(parts):
            own = nl.ndarray(flat, dtype=nl.float32, buffer=nl.sbuf) if n else total
            nisa.nc_n_gather(dst=own, data=self._read(part, tables, shape[0]), indices=part.places)
            if n:
                nisa.tensor_tensor(dst=total, data1=total, data2=own, op=nl.add)
        return total.reshape(shape)

    def _part(self, own: _Blocks, start: int, tables: SlotTables, groups: Span) -> _Part:
        geometry = tables.geometry
        slots = like(own.sources[:, groups.slice])
        nisa.tensor_scalar(dst=slots, data=own.sources[:, groups.slice], op0=nl.add, operand0=float(start))
        rows = geometry.rows_of(slots)
        nisa.scalar_tensor_tensor(
            dst=slots, data=rows, op0=nl.multiply, operand0=-float(geometry.columns), op1=nl.add, operand1=slots
        )
        rows = [geometry.rows_of(self._sources(own, n, start)) for n in range(groups.start, groups.stop)]
        return _Part(groups, rows, self._places(own, slots, start, tables, groups))

    def _read(self, part: _Part, tables: SlotTables, count: int) -> Any:
        """fp32 [blocks, columns]: rows of some groups, and a zero."""
        width = tables.geometry.copies * tables.row
        zero = part.groups.size * width
        result = nl.ndarray((count, zero + 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=result[:, zero:], value=0, engine=nisa.engine.gpsimd)
        for n, rows in enumerate(part.rows):
            self._copy_rows(result[:, n * width : (n + 1) * width], tables.tables[part.groups.start + n], rows, tables)
        return result

    def _sources(self, own: _Blocks, group: int, start: int) -> Any:
        """fp32 [128, blocks], equal rows: the slot of a group that belongs where the piece begins."""
        shape = (PARTITIONS, own.blocks.size)
        sums, result = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum), nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        column = BOUNDS + self._groups + 1 + group
        for e, experts in enumerate(self._experts):
            nisa.nc_matmul(
                dst=sums,
                stationary=self._of_experts[: experts.size, e, column : column + 1].broadcast(1, PARTITIONS),
                moving=own.are_of[: experts.size, e, :],
                is_moving_onezero=True,
                accumulate=e > 0,
            )
        B = self._block_size
        first = _row(own.blocks.size, B, own.blocks.start * B + start + self._first)
        nisa.tensor_tensor(dst=result, data1=sums, data2=first, op=nl.add)
        return result

    def _copy_rows(self, dst: Any, table: Any, rows: Any, tables: SlotTables) -> None:
        """dst, fp32 [blocks, copies * row]: those rows of a table [128, row], and the ones behind."""
        partition = own_numbers(Span(0, PARTITIONS), nl.float32)
        for n in range(tables.geometry.copies):
            chosen = like(rows)
            nisa.tensor_scalar(dst=chosen, data=rows, op0=nl.add, operand0=float(n), op1=nl.equal, operand1=partition)
            for columns in spans(tables.row, PSUM_COLUMNS):
                sums = nl.ndarray((dst.shape[0], columns.size), dtype=nl.float32, buffer=nl.psum)
                nisa.nc_matmul(
                    dst=sums, stationary=chosen, moving=table[:, columns.slice], is_stationary_onezero=True,
                    accumulate=False,
                )  # fmt: skip
                begin = n * tables.row + columns.start
                nisa.tensor_copy(dst=dst[:, begin : begin + columns.size], src=sums, engine=nisa.engine.scalar)

    def _places(self, own: _Blocks, slots: Any, start: int, tables: SlotTables, groups: Span) -> Any:
        """uint32 [blocks, values of a piece]: a step up where a group's slots begin, to NOWHERE behind the last one.

        slots: fp32 [blocks, groups]: where in the row of each group the piece begins.
        """
        count, values, n = own.blocks.size, tables.values, groups.size
        begins = nl.ndarray((count, n), dtype=nl.float32, buffer=nl.sbuf)
        bounds, steps = (nl.ndarray((count, n + 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        nisa.iota(dst=begins, pattern=[[tables.geometry.copies * tables.row, n]], offset=0, channel_multiplier=0)
        nisa.scalar_tensor_tensor(
            dst=begins, data=slots, op0=nl.multiply, operand0=float(values), op1=nl.add, operand1=begins
        )
        nisa.tensor_scalar(dst=steps[:, :n], data=begins, op0=nl.add, operand0=0.0)
        nisa.memset(dst=steps[:, n:], value=NOWHERE)
        nisa.tensor_tensor(dst=steps[:, 1:], data1=steps[:, 1:], data2=begins, op=nl.subtract)
        nisa.tensor_scalar(dst=steps[:, 0:1], data=steps[:, 0:1], op0=nl.add, operand0=-NOWHERE)
        own_bounds = own.bounds[:, groups.start : groups.stop + 1]
        nisa.tensor_scalar(
            dst=bounds, data=own_bounds, op0=nl.add, operand0=-float(start), op1=nl.multiply, operand1=float(values)
        )
        width = tables.geometry.piece * values
        number, place = (nl.ndarray((count, width), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        result = nl.ndarray((count, width), dtype=nl.uint32, buffer=nl.sbuf)
        nisa.iota(dst=number, pattern=[[1, width]], offset=0, channel_multiplier=0)
        nisa.iota(dst=place, pattern=[[1, width]], offset=int(NOWHERE), channel_multiplier=0)
        for g in range(n + 1):
            step = nl.ndarray((count, width), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(
                dst=step, data=number, op0=nl.greater_equal, operand0=bounds[:, g : g + 1],
                op1=nl.multiply, operand1=steps[:, g : g + 1],
            )  # fmt: skip
            nisa.tensor_tensor(dst=place, data1=place, data2=step, op=nl.add)
        nisa.tensor_scalar(dst=result, data=place, op0=nl.minimum, operand0=float(n * tables.geometry.copies * tables.row))
        return result


def _row(count: int, step: int, first: int) -> Any:
    """fp32 [128, count], equal rows: numbers from `first` on."""
    result = nl.ndarray((PARTITIONS, count), dtype=nl.float32, buffer=nl.sbuf)
    nisa.iota(dst=result, pattern=[[step, count]], offset=first, channel_multiplier=0)
    return result
