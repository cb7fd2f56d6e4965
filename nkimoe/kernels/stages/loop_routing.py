# SPDX-License-Identifier: Apache-2.0
"""Routing of blocks that a device loop processes: how many there are is known only on the device."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import (
    BlockRouting,
    affinity_place,
    affinity_rows,
    load_experts,
    load_slots,
    put,
    unless_equal,
)
from nkimoe.kernels.stages.scale_by_affinity import Scaling
from nkimoe.kernels.tensor import OutOfBounds, Pattern, Register, Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS, ROUTING_COLUMNS, Span, ceil_div, spans
from nkimoe.spec import Pairs


class LoopBlocks:
    """Which of the blocks behind the unrolled ones this core computes: `count` of them, a number in SBUF.

    Attributes:
        most: how many there can be.
        step: distance of one from the next.
        first: number of the first one; with `later`, int32 [128, 1], so many blocks further on.
        count: int32 [128, 1], those whose condition is 1.
        iterations: a register; as many for both cores, because they meet in the loop.
    """

    def __init__(self, request: Request, plan: Plan, core: int) -> None:
        self._blocks = plan.problem.N
        looped, total = plan.looped_of(core), plan.problem.N - plan.static_blocks
        self.most, self.step, self.first = looped.count, looped.step, looped.first
        self.later: Tensor | None = None
        ones = _integers(PARTITIONS, total)
        view = request.conditions.ap(pattern=[[0, PARTITIONS], [1, total]], offset=plan.static_blocks)
        nisa.dma_copy(dst=ones, src=view)
        everybody = _integers(PARTITIONS, 1)
        nisa.tensor_reduce(dst=everybody, op=nl.add, data=ones, axis=1)
        cores = 1 if plan.halves_intermediate else plan.problem.cores
        largest = _share(everybody, cores - 1, cores)
        self.count = largest if core == 0 or cores == 1 else _share(everybody, 0, cores)
        if cores > 1 and core == 1 and self.step == 1:
            self.later = largest
        self.iterations = _register(_share(largest, plan.loop_blocks - 1, plan.loop_blocks))

    def view(self, tensor: Tensor, width: int, pattern: Pattern, offset: int = 0) -> Tensor:
        """A part of a tensor with `width` elements a block, counted from this core's first one."""
        offset += self.first * width
        if self.later is None:
            return tensor.ap(pattern=pattern, offset=offset)
        rows = tensor.reshape((self._blocks, width))
        return rows.ap(pattern=pattern, offset=offset, scalar_offset=self.later[0:1, :], indirect_dim=0)


# Iterations whose tables are loaded ahead: one, because the next iteration's gathers start in this one; one more, so
# that they do not wait for the tables either.
AHEAD = 2


class LoopTables:
    """What the stages read about the blocks of the loop, for each iteration a row of tables in HBM.

    Behind the last block come blocks without tokens, whose experts and numbers are out of bounds: they load no weights
    and save nothing. AHEAD iterations more than the most there can be are loaded, and never computed.
    """

    def __init__(self, request: Request, plan: Plan, core: int) -> None:
        self.blocks = LoopBlocks(request, plan, core)
        self._request, self.problem, self.at_once = request, plan.problem, plan.loop_blocks
        iterations = ceil_div(plan.looped_of(0).count, self.at_once) + AHEAD
        self._positions = iterations * self.at_once
        before = plan.unrolled_of(core)
        experts, self._nobody = self._experts(), self._behind_the_last()
        to_load = _copy(experts)
        unless_equal(to_load[:, 1:], experts[:, 1:], experts[:, :-1], self.problem.E)
        if before.count:
            last = _integers(PARTITIONS, 1)
            view = request.block_to_expert.ap(pattern=[[0, PARTITIONS], [1, 1]], offset=before.block(before.count - 1))
            load_experts(last, view, self.problem.E)
            unless_equal(to_load[:, 0:1], experts[:, 0:1], last, self.problem.E)
        numbers, to_use = self._numbers(), _copy(experts)
        put(numbers, self.problem.N, self._nobody)
        for values in (to_use, to_load):  # the first block has weights, even if it is nobody's
            put(values[:, 1:], self.problem.E, self._nobody[:, 1:])
        self.width = self.at_once * (2 * self.problem.tiles_per_block + 3)
        shape = (iterations, PARTITIONS, self.width)
        self._rows = nl.ndarray(shape, dtype=nl.int32, buffer=nl.private_hbm)
        self._weights = None if request.pairs is None else self._room_for_weights(iterations, request.pairs)
        most = max(1, ROUTING_COLUMNS // (self.at_once * self.problem.tiles_per_block))
        for some in spans(iterations, most):
            self._store(some, experts, (to_use, to_load, numbers))

    def load(self, tile: Tensor, iteration: Register | None, ahead: int) -> None:
        """Tables of an iteration, counted from a register."""
        _load_row(tile, self._rows, iteration, ahead)

    def load_weights(self, tile: Tensor, iteration: Register | None, ahead: int) -> bool:
        """The affinities of its slots, if they came with pairs."""
        if self._weights is not None:
            _load_row(tile, self._weights, iteration, ahead)
        return self._weights is not None

    def _experts(self) -> Tensor:
        """int32 [128, positions]; 0 behind the last block there can be."""
        experts = _integers(PARTITIONS, self._positions)
        nisa.memset(dst=experts, value=0)
        if most := self.blocks.most:
            view = self.blocks.view(self._request.block_to_expert, 1, [[0, PARTITIONS], [self.blocks.step, most]])
            load_experts(experts[:, 0:most], view, self.problem.E)
        return experts

    def _behind_the_last(self) -> Tensor:
        """uint8 [128, positions]: 1 where this core has no block."""
        positions = _integers(PARTITIONS, self._positions)
        nisa.iota(dst=positions, pattern=[[1, self._positions]])
        nobody = nl.ndarray((PARTITIONS, self._positions), dtype=nl.uint8, buffer=nl.sbuf)
        count = self.blocks.count.ap(pattern=[[1, PARTITIONS], [0, self._positions]])
        nisa.tensor_tensor(dst=nobody, data1=positions, data2=count, op=nl.greater_equal)
        return nobody

    def _numbers(self) -> Tensor:
        """int32 [128, positions]."""
        numbers = _integers(PARTITIONS, self._positions)
        nisa.iota(dst=numbers, pattern=[[self.blocks.step, self._positions]], offset=self.blocks.first)
        if self.blocks.later is not None:
            later = self.blocks.later.ap(pattern=[[1, PARTITIONS], [0, self._positions]])
            nisa.tensor_tensor(dst=numbers, data1=numbers, data2=later, op=nl.add)
        return numbers

    def _store(self, some: Span, experts: Tensor, vectors: tuple[Tensor, ...]) -> None:
        """Tables of some iterations."""
        tiles, n = self.problem.tiles_per_block, some.size * self.at_once
        first = some.start * self.at_once
        here = slice(first, first + n)
        ids, rows = self._slot_tables(first, n, _copy(experts[:, here]))
        table = nl.ndarray((PARTITIONS, some.size, self.width), dtype=nl.int32, buffer=nl.sbuf)
        at = 0
        for values in (ids, rows, *(vector[:, here] for vector in vectors)):
            width = values.shape[1] // some.size
            parts = values.reshape((PARTITIONS, some.size, width))
            nisa.tensor_copy(dst=table[:, :, at : at + width], src=parts)
            at += width
        _store_rows(self._rows, some, table)
        if self._request.pairs is not None and self._weights is not None:
            weights = self._slots(self._request.pairs.weights, 0, first, n)
            _store_rows(self._weights, some, weights.reshape((PARTITIONS, some.size, self.at_once * tiles)))

    def _room_for_weights(self, iterations: int, pairs: Pairs) -> Tensor:
        """fp32 [iterations, 128, blocks * tiles], for affinities that come with pairs."""
        shape = (iterations, PARTITIONS, self.at_once * self.problem.tiles_per_block)
        table: Tensor = nl.ndarray(shape, dtype=pairs.weights.dtype, buffer=nl.private_hbm)
        return table

    def _slot_tables(self, first: int, n: int, experts: Tensor) -> tuple[Tensor, Tensor]:
        """int32 [128, n blocks * tiles] each: tokens, and rows of affinities, or pairs."""
        p, pairs = self.problem, self._request.pairs
        ids = self._slots(self._request.token_position_to_id, p.pad, first, n)
        if pairs is None:
            place = affinity_place(self._request, p)
            return ids, affinity_rows(_integers(*ids.shape), ids, experts, place)
        return ids, self._slots(pairs.positions, p.rows * pairs.choices, first, n)

    def _slots(self, source: Tensor, pad: int, first: int, n: int) -> Tensor:
        """[128, n blocks * tiles] from [N * B], pads where there is no block."""
        p, tiles, blocks = self.problem, self.problem.tiles_per_block, self.blocks
        slots: Tensor = nl.ndarray((PARTITIONS, n * tiles), dtype=source.dtype, buffer=nl.sbuf)
        table = slots.reshape((PARTITIONS, n, tiles))
        real = max(0, min(n, blocks.most - first))
        if real < n:
            nisa.memset(dst=slots, value=pad)
        if real:

            def view(pattern: Pattern, offset: int) -> Tensor:
                each = [pattern[0], [blocks.step * p.B, real], pattern[1]]
                return blocks.view(source, p.B, each, first * blocks.step * p.B + offset)

            load_slots(table[:, 0:real, :], p.B, pad, view)
        nobody = self._nobody.ap(pattern=[[self._positions, PARTITIONS], [1, n], [0, tiles]], offset=first)
        put(table, pad, nobody)
        return slots


class LoopRouting:
    """The blocks of one iteration, in tiles that outlive it.

    Attributes:
        blocks: what the stages read.
    """

    def __init__(self, tables: LoopTables, scaling: Scaling, out_of_bounds: OutOfBounds) -> None:
        self._tables, self._scaling, self._out_of_bounds = tables, scaling, out_of_bounds
        self._tile = _integers(PARTITIONS, tables.width)
        self._affinities = scaling.room(tables.at_once * tables.problem.tiles_per_block)
        self.blocks = self._blocks(self._tile, self._affinities)

    def _blocks(self, tile: Tensor, affinities: Tensor | None) -> list[BlockRouting]:
        return [self._block(u, tile, affinities) for u in range(self._tables.at_once)]

    def _block(self, u: int, tile: Tensor, affinities: Tensor | None) -> BlockRouting:
        n, tiles = self._tables.at_once, self._tables.problem.tiles_per_block
        mine = slice(u * tiles, (u + 1) * tiles)
        expert, to_load, number = (2 * n * tiles + k * n + u for k in range(3))
        return BlockRouting(
            number=tile[0:1, number : number + 1],
            ids=tile[:, mine],
            rows=tile[:, n * tiles + u * tiles : n * tiles + (u + 1) * tiles],
            expert=tile[:, expert : expert + 1],
            expert_to_load=tile[:, to_load : to_load + 1],
            expert_to_load_in_turn=tile[:, to_load : to_load + 1],
            affinities=None if affinities is None else affinities[:, mine],
        )

    def load(self, iteration: Register | None, ahead: int = 0) -> None:
        """Become the blocks of an iteration, or of the first one if it is None, but for their affinities."""
        self._tables.load(self._tile, iteration, ahead)

    def load_affinities(self, iteration: Register | None, ahead: int = 0) -> None:
        """Of the slots of an iteration, whose tables have been loaded."""
        if self._affinities is None or self._tables.load_weights(self._affinities, iteration, ahead):
            return
        for block in self.blocks:
            self._scaling.gather(block.affinities, block, self._out_of_bounds)

    def copies(self) -> list[BlockRouting]:
        """The blocks in tiles of their own: late readers, such as scatters, hold up nobody who changes this."""
        affinities = None
        if self._affinities is not None:
            affinities = self._scaling.room(self._affinities.shape[1])
            nisa.tensor_copy(dst=affinities, src=self._affinities, engine=nisa.engine.gpsimd)
        return self._blocks(_copy(self._tile), affinities)

    def take(self, other: LoopRouting) -> None:
        """Become what `other` is, without any transfer from HBM."""
        self.take_tables(other)
        if self._affinities is not None:
            nisa.tensor_copy(dst=self._affinities, src=other._affinities, engine=nisa.engine.gpsimd)

    def take_tables(self, other: LoopRouting) -> None:
        """The same but for affinities."""
        nisa.tensor_copy(dst=self._tile, src=other._tile, engine=nisa.engine.gpsimd)


def _load_row(tile: Tensor, table: Tensor, iteration: Register | None, ahead: int) -> None:
    """Row `iteration + ahead` of [iterations, 128, width]; `ahead` if there is no register."""
    _, partitions, width = table.shape
    pattern, offset = [[width, partitions], [1, width]], ahead * partitions * width
    if iteration is None:
        nisa.dma_copy(dst=tile, src=table.ap(pattern=pattern, offset=offset))
        return
    nisa.dma_copy(dst=tile, src=table.ap(pattern=pattern, offset=offset, scalar_offset=iteration, indirect_dim=0))


def _store_rows(table: Tensor, some: Span, rows: Tensor) -> None:
    """Rows `some` of [iterations, 128, width], which come as [128, rows, width]."""
    _, partitions, width = table.shape
    pattern = [[width, partitions], [partitions * width, some.size], [1, width]]
    nisa.dma_copy(dst=table.ap(pattern=pattern, offset=some.start * partitions * width), src=rows)


def _share(total: Tensor, rounding: int, parts: int) -> Tensor:
    """(total + rounding) / parts, rounded down, int32; `parts` is a power of two."""
    if parts == 1:
        return total
    share = _integers(*total.shape)
    nisa.tensor_scalar(dst=share, data=total, op0=nl.add, operand0=rounding)
    nisa.tensor_scalar(dst=share, data=share, op0=nl.right_shift, operand0=parts.bit_length() - 1)
    return share


def _register(tile: Tensor) -> Register:
    """A register with what int32 [n, 1] holds."""
    register: Register = nisa.register_alloc()
    nisa.register_load(dst=register, src=tile[0:1, :])
    return register


def _copy(tile: Tensor) -> Tensor:
    copy = _integers(*tile.shape)
    nisa.tensor_copy(dst=copy, src=tile, engine=nisa.engine.gpsimd)
    return copy


def _integers(rows: int, columns: int) -> Tensor:
    return nl.ndarray((rows, columns), dtype=nl.int32, buffer=nl.sbuf)
