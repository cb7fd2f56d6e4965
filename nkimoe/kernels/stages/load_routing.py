# SPDX-License-Identifier: Apache-2.0
"""Token ids, experts and affinity rows of a core's blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import IndexTile, Operator, OutOfBounds, Pattern, Tensor
from nkimoe.planning.mx.coded_rows import AffinityPlace
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import Request
from nkimoe.planning.shares import BlockRange
from nkimoe.planning.tiling import PARTITIONS, ROUTING_COLUMNS, Span, spans


@dataclass(frozen=True)
class BlockRouting:
    """Where one block's tokens are and which expert they go to. Slot i is partition i % 128 of tile i // 128.

    Attributes:
        number: which block, from 0; an int, or an int32 tile [1, 1] inside a device loop.
        ids: int32 [128, tiles], the token of each slot.
        rows: int32 [128, tiles], row of the affinity (`affinity_place`); where slots hold pairs, the row of each.
        expert: int32 [128, 1], equal on all partitions.
        expert_to_load: int32 [128, 1], the same, or E when the block before used this expert too.
        expert_to_load_in_turn: likewise of weights, where blocks use several sets in turn: the block before in its set.
        affinities: fp32 [128, tiles], or None when no stage reads them.
        is_first: the core has written no results yet.
    """

    number: int | IndexTile
    ids: Tensor
    rows: Tensor
    expert: IndexTile
    expert_to_load: IndexTile
    expert_to_load_in_turn: IndexTile
    affinities: Tensor | None = None
    is_first: bool = False


@dataclass(frozen=True)
class Part:
    """Some token tiles of one block that go through the MLP together.

    Attributes:
        tiles: which tiles of 128 slots.
        slots: slots of the block in those tiles: the last tile of a block may have fewer than 128.
        opens_block: the first part of its block.
    """

    block: BlockRouting
    tiles: Span
    slots: int
    opens_block: bool

    @property
    def ids(self) -> list[IndexTile]:
        """One index tile [slots, 1] for each tile of at most 128 slots."""
        return self._columns(self.block.ids)

    @property
    def pairs(self) -> list[IndexTile]:
        """Likewise, where slots hold pairs, their rows."""
        return self._columns(self.block.rows)

    @property
    def affinities(self) -> list[Tensor]:
        """One fp32 [slots, 1] tile for each tile of slots; empty when no stage reads them."""
        return [] if self.block.affinities is None else self._columns(self.block.affinities)

    def _columns(self, table: Tensor) -> list[Tensor]:
        whole = columns_of(table, self.tiles)
        return [column[0 : own.size] for column, own in zip(whole, spans(self.slots, PARTITIONS), strict=True)]


def columns_of(table: Tensor, tiles: Span) -> list[Tensor]:
    """[128, 1] of each tile."""
    return [table[:, c : c + 1] for c in range(tiles.start, tiles.stop)]


@dataclass(frozen=True)
class _Window:
    """The tables of some consecutive blocks of the core, starting with its block number `first`."""

    first: int
    ids: Tensor
    rows: Tensor
    affinities: Tensor | None = None


class Routing:
    """Routing tables of one core's blocks, loaded some blocks at a time, and the experts of all of them.

    Args:
        weight_sets: that blocks use in turn.

    Attributes:
        experts: int32 [128, blocks], equal on all partitions.
        out_of_bounds: what a gather does with pad ids.
    """

    def __init__(self, request: Request, problem: Problem, blocks: BlockRange, weight_sets: int = 1) -> None:
        self._request, self._problem, self._blocks = request, problem, blocks
        self._per_window = max(1, ROUTING_COLUMNS // problem.tiles_per_block)
        n, first = max(blocks.count, 1), min(blocks.first, problem.N - 1)
        self.experts: Tensor = nl.ndarray((PARTITIONS, n), dtype=nl.int32, buffer=nl.sbuf)
        source = request.block_to_expert.ap(pattern=[[0, PARTITIONS], [blocks.step, n]], offset=first)
        load_experts(self.experts, source, problem.E)
        self._to_load = self._to_load_in_turn = _experts_to_load(self.experts, problem.E, 1)
        if weight_sets > 1:
            self._to_load_in_turn = _experts_to_load(self.experts, problem.E, weight_sets)
        self.out_of_bounds: OutOfBounds = nisa.oob_mode.skip if request.skip_dma.skip_token else nisa.oob_mode.error

    def blocks(self, count: int) -> Iterator[BlockRouting]:
        """The first `count` blocks of the core, in order, without their affinities."""
        for j in range(count):
            if j % self._per_window == 0:
                window = self._load(j, min(self._per_window, count - j))
            yield self._block(j, window)

    def _block(self, j: int, window: _Window) -> BlockRouting:
        tiles = self._problem.tiles_per_block
        start = (j - window.first) * tiles
        return BlockRouting(
            number=self._blocks.block(j),
            ids=window.ids[:, start : start + tiles],
            rows=window.rows[:, start : start + tiles],
            affinities=None if window.affinities is None else window.affinities[:, start : start + tiles],
            expert=self.experts[:, j : j + 1],
            expert_to_load=self._to_load[:, j : j + 1],
            expert_to_load_in_turn=self._to_load_in_turn[:, j : j + 1],
            is_first=j == 0,
        )

    def _load(self, first: int, n: int) -> _Window:
        """The ids, and the affinity rows computed exactly, in int32; or what came with pairs."""
        p, pairs, tiles = self._problem, self._request.pairs, self._problem.tiles_per_block
        ids = self._table(first, n, self._request.token_position_to_id, p.pad)
        if pairs is not None:
            rows = self._table(first, n, pairs.positions, p.rows * pairs.choices)
            return _Window(first, ids, rows, self._table(first, n, pairs.weights, 0))
        rows = nl.ndarray((PARTITIONS, n * tiles), dtype=nl.int32, buffer=nl.sbuf)
        place = affinity_place(self._request, p)
        return _Window(first, ids, affinity_rows(rows, ids, self.experts[:, first : first + n], place))

    def _table(self, first: int, n: int, source: Tensor, pad: int) -> Tensor:
        """[128, n * tiles]: what slots of n blocks have in `source` [N * B]."""
        p, step, tiles = self._problem, self._blocks.step, self._problem.tiles_per_block
        at = self._blocks.block(first)
        table: Tensor = nl.ndarray((PARTITIONS, n * tiles), dtype=source.dtype, buffer=nl.sbuf)
        load_slots(
            table.reshape((PARTITIONS, n, tiles)), p.B, pad,
            lambda pattern, offset: source.ap(
                pattern=[pattern[0], [step * p.B, n], pattern[1]], offset=at * p.B + offset
            ),
        )  # fmt: skip
        return table


def load_experts(dst: Tensor, src: Tensor, E: int) -> None:
    """dst, int32 [128, blocks]: the experts of blocks; one that exists where a block without tokens names -1 or E."""
    nisa.dma_copy(dst=dst, src=src)
    nisa.tensor_scalar(
        dst=dst, data=dst, op0=nl.maximum, operand0=0.0, op1=nl.minimum, operand1=float(E - 1),
        engine=nisa.engine.vector,
    )  # fmt: skip


def load_slots(table: Tensor, B: int, pad: int, view: Callable[[Pattern, int], Tensor]) -> None:
    """Fill a table [128, blocks, tiles]; slots beyond the end of a block that is not whole tiles long become `pad`.

    Args:
        B: slots of a block.
        view: from a pattern [[step, partitions], [step, tiles]] and an offset within a block to its part of HBM.
    """
    whole, rest = divmod(B, PARTITIONS)
    if whole:
        nisa.dma_copy(dst=table[:, :, 0:whole], src=view([[1, PARTITIONS], [PARTITIONS, whole]], 0))
    if rest:
        last = table[:, :, whole : whole + 1]
        nisa.memset(dst=last, value=pad)
        nisa.dma_copy(dst=last[0:rest], src=view([[1, rest], [PARTITIONS, 1]], whole * PARTITIONS))


def affinity_place(request: Request, problem: Problem) -> AffinityPlace:
    """Where affinities are in `affinity_column`."""
    p = problem
    return AffinityPlace.behind_rows(p.H, p.E) if request.has_packed_affinities else AffinityPlace(p.E)


def affinity_column(request: Request) -> Tensor:
    """[numbers, 1] in HBM."""
    if not request.has_packed_affinities:
        column: Tensor = request.expert_affinities_masked
        return column
    rows = request.hidden_states.view(nl.bfloat16)
    return rows.reshape((rows.shape[0] * rows.shape[1], 1))


def affinity_rows(rows: Tensor, ids: Tensor, experts: Tensor, place: AffinityPlace) -> Tensor:
    """rows = ids * step + first + expert, on GpSimd: the Vector Engine's int32 goes through fp32, exact only to 2**24.

    Pads of id -1 have row -1, whose bits are all ones: of negative rows it is the one that a transfer is known to skip.

    Args:
        rows, ids: int32 [128, blocks * tiles].
        experts: int32 [128, blocks].
    """
    pads: Tensor = nl.ndarray(tuple(ids.shape), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=pads, data=ids, op0=nl.minimum, operand0=0.0)
    _with_number(rows, ids, place.step, nl.multiply)
    if place.first:
        _with_number(rows, rows, place.first, nl.add)
    per_tile = experts.expand_dim(2).broadcast(2, ids.shape[1] // experts.shape[1])
    nisa.tensor_tensor(dst=rows, data1=rows, data2=per_tile, op=nl.add, engine=nisa.engine.gpsimd)
    nisa.tensor_tensor(dst=rows, data1=rows, data2=pads, op=nl.bitwise_or)
    return rows


def _with_number(dst: Tensor, data: Tensor, number: int, op: Operator) -> None:
    """dst = data <op> number; int32 [128, columns]."""
    tile = nl.ndarray((PARTITIONS, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=number)
    everywhere = tile.ap(pattern=[[1, PARTITIONS], [0, data.shape[1]]])
    nisa.tensor_tensor(dst=dst, data1=data, data2=everywhere, op=op, engine=nisa.engine.gpsimd)


def _experts_to_load(experts: Tensor, E: int, before: int) -> Tensor:
    """int32 [128, blocks]: the expert of each block, or E where the block so many before it has the same one."""
    n = experts.shape[1]
    to_load: Tensor = nl.ndarray((PARTITIONS, n), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=to_load, src=experts)
    if n > before:
        unless_equal(to_load[:, before:n], experts[:, before:n], experts[:, 0 : n - before], E)
    return to_load


def unless_equal(dst: Tensor, now: Tensor, before: Tensor, otherwise: int) -> None:
    """dst, which holds `now`, becomes `otherwise` where `now` equals `before`; all int32 [rows, n]."""
    same = nl.ndarray(tuple(now.shape), dtype=nl.uint8, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=same, data1=now, data2=before, op=nl.equal)
    put(dst, otherwise, same)


def put(dst: Tensor, number: int, where: Tensor) -> None:
    """dst = number, in the places that `where`, uint8 of the same shape, says."""
    numbers: Tensor = nl.ndarray(tuple(dst.shape), dtype=dst.dtype, buffer=nl.sbuf)
    nisa.memset(dst=numbers, value=number)
    nisa.tensor_copy_predicated(dst=dst, src=numbers, predicate=where)
