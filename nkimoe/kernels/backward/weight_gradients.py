# SPDX-License-Identifier: Apache-2.0
"""Gradients of the expert at hand, summed on chip in fp32 over its blocks and written once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.emission import Emission
from nkimoe.kernels.backward.routing import BackwardStep, experts_everywhere
from nkimoe.kernels.stages.expert_vectors import row_tiles
from nkimoe.kernels.stages.gather_tokens import clear
from nkimoe.kernels.stages.load_routing import unless_equal
from nkimoe.kernels.tensor import DType, IndexTile, Pattern, Shape, Tensor
from nkimoe.planning.backward.plan import BackwardPlan
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, ceil_div, spans

GATE_UP, DOWN = 0, 1
# Tiles of rows of H that are rounded at a time. Chosen, not measured: fewer passes of GpSimd, against a shorter one
# behind the last tile, which the store waits for.
ROUNDED = 4
# Columns of sums that cores exchange at a time. Chosen, not measured: fewer exchanges, against 8 KiB a partition for
# what arrives.
SWAPPED = 2048


class Targets(NamedTuple):
    """Where gradients are written: as of the arguments; None where there is no bias."""

    gate_up: Tensor
    down: Tensor
    gate_up_bias: Tensor | None
    down_bias: Tensor | None

    @property
    def present(self) -> list[Tensor]:
        """Those there are."""
        return [target for target in self if target is not None]

    @property
    def gates(self) -> list[Tensor]:
        """Those that begin with gates: [..., 2, I]."""
        return [target for target in (self.gate_up, self.gate_up_bias) if target is not None]


class _Sums(NamedTuple):
    """gate_up [128, H/128, columns of gate and up], row h of H on partition h % 128, then a tile whose first row is the
    bias; down [128, tiles, H], row i on partition i % 128, then the bias."""

    gate_up: Tensor
    down: Tensor


class WeightGradients:
    """Each block adds to what the block before left, times whether that had the same expert."""

    def __init__(self, request: BackwardRequest, plan: BackwardPlan, targets: Targets) -> None:
        self._request, self._plan, self._targets, p = request, plan, targets, plan.problem
        columns = plan.tiling.columns
        width, rows = request.projections * columns, columns + (targets.down_bias is not None)
        h_tiles = p.H // PARTITIONS + (targets.gate_up_bias is not None)
        shapes = ((PARTITIONS, h_tiles, width), (PARTITIONS, ceil_div(rows, PARTITIONS), p.H))
        self._sets = [_tiles(shapes, nl.float32) for _ in range(plan.tiling.accumulators)]
        self._rounded = _tiles(shapes, targets.down.dtype)
        for tile in (tile for sums in self._sets for tile in sums):
            clear(tile)

    @property
    def _now(self) -> _Sums:
        return self._sets[-1]

    def begin(self, step: BackwardStep) -> None:
        """A step begins: its sums go to other tiles than those of the step before, if there are two sets."""
        self._before = self._now
        self._sets.append(self._sets.pop(0))

    def add_down(self, step: BackwardStep, m: Tensor, d_rows: list[Tensor]) -> Emission:
        """down += m.T @ d, piece by piece; m [128 slots, tiles, rows] weighted, d [128 slots, H] of each tile."""
        for tile, rows in enumerate(spans(m.shape[2], PARTITIONS)):
            for columns in spans(self._plan.problem.H, PSUM_COLUMNS):
                place = (slice(0, rows.size), tile, columns.slice)
                weighted = [m[:, t, rows.slice] for t in range(len(d_rows))]
                self._add(step, DOWN, place, _product(weighted, [d[:, columns.slice] for d in d_rows]))
                yield
            self._round_early(step, DOWN, Span(tile, 1))

    def add_gate_up(self, step: BackwardStep, token_rows: list[Tensor], d_first: Tensor) -> Emission:
        """gate_up += x.T @ d, piece by piece; x [128 slots, H (+ 1)] of each tile, d [128 slots, tiles, columns]."""
        tiles = spans(token_rows[0].shape[1], PARTITIONS)
        for tile, rows in enumerate(tiles):
            for columns in spans(d_first.shape[2], PSUM_COLUMNS):
                place = (slice(0, rows.size), tile, columns.slice)
                moving = [d_first[:, t, columns.slice] for t in range(len(token_rows))]
                self._add(step, GATE_UP, place, _product([x[:, rows.slice] for x in token_rows], moving))
                yield
            if tile % ROUNDED == ROUNDED - 1 or tile == len(tiles) - 1:
                self._round_early(step, GATE_UP, Span(tile - tile % ROUNDED, tile % ROUNDED + 1))

    def _add(self, step: BackwardStep, which: int, place: tuple[slice, int, slice], product: Tensor) -> None:
        new, old = self._now[which][place], self._before[which][place]
        if not step.part.opens_block:
            nisa.tensor_tensor(dst=new, data1=old, data2=product, op=nl.add)
        else:
            keep = step.block.keep[place[0], :]
            nisa.scalar_tensor_tensor(
                dst=new, data=old, op0=nl.multiply, operand0=keep, op1=nl.add, operand1=product
            )  # fmt: skip

    def _round_early(self, step: BackwardStep, which: int, tiles: Span) -> None:
        """Round finished tiles while others are computed."""
        if step.closes_block and not self._waits(step):
            self._round(which, tiles)

    def _round(self, which: int, tiles: Span) -> None:
        dst, src = (sums[which][:, tiles.slice, :] for sums in (self._rounded, self._now))
        nisa.tensor_copy(dst=dst, src=src, engine=nisa.engine.gpsimd)

    def _waits(self, step: BackwardStep) -> bool:
        """The last expert of a core waits for what the other core has of it."""
        return step.block.is_last and self._plan.problem.cores > 1 and self._plan.problem.N > 1

    def store(self, step: BackwardStep) -> None:
        """Write the gradients of an expert behind its last block."""
        if not step.closes_block:
            return
        expert = step.block.expert_to_store
        if self._waits(step):
            expert = self._add_across_cores()
            for which, sums in enumerate(self._now):
                self._round(which, Span(0, sums.shape[1]))
        self._write(step.inner, expert)

    def _add_across_cores(self) -> Tensor:
        """Add what both cores have for their last expert, if it is the same one.

        Returns: int32 [1, 1], the expert to write; E on the second core if the first one writes it.
        """
        half, E = self._plan.blocks_of(0).count, self._plan.problem.E
        experts = experts_everywhere(self._request, half - 1, 2)
        keep = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=keep, data1=experts[:, 0:1], data2=experts[:, 1:2], op=nl.equal)
        other = 1 - nl.program_id(0)
        for own in _flat_pieces(self._now):
            received = nl.ndarray(tuple(own.shape), dtype=nl.float32, buffer=nl.sbuf)
            nisa.sendrecv(src=own, dst=received, send_to_rank=other, recv_from_rank=other, pipe_id=0)
            nisa.scalar_tensor_tensor(
                dst=own, data=received, op0=nl.multiply, operand0=keep, op1=nl.add, operand1=own
            )  # fmt: skip
        expert = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=expert, src=experts[0:1, nl.program_id(0) : nl.program_id(0) + 1])
        if nl.program_id(0) == 1:
            unless_equal(expert, experts[0:1, 1:2], experts[0:1, 0:1], E)
        return expert

    def _write(self, inner: Span, expert: IndexTile) -> None:
        """Write what is there of one expert; an index of E writes nothing."""
        q, p = self._request.projections, self._plan.problem
        width, h_tiles = q * inner.size, p.H // PARTITIONS
        gate_up, down = self._rounded.gate_up[:, :, 0:width], self._rounded.down
        first = self._request.first_projection * p.I + inner.start
        pattern = [[2 * p.I, PARTITIONS], [PARTITIONS * 2 * p.I, h_tiles], [p.I, q], [1, inner.size]]
        _store(self._targets.gate_up, pattern, first, expert, gate_up[:, 0:h_tiles, :])
        if self._targets.gate_up_bias is not None:
            pattern = [[2 * p.I, 1], [p.I, q], [1, inner.size]]
            _store(self._targets.gate_up_bias, pattern, first, expert, gate_up[0:1, h_tiles, :])
        for tile, rows, count in row_tiles(inner.size):
            pattern = [[p.H, rows], [PARTITIONS * p.H, count], [1, p.H]]
            offset = (inner.start + tile * PARTITIONS) * p.H
            _store(self._targets.down, pattern, offset, expert, down[0:rows, tile : tile + count, :])
        if self._targets.down_bias is not None and inner.start == 0:
            tile, row = divmod(inner.size, PARTITIONS)
            _store(self._targets.down_bias, [[p.H, 1], [1, p.H]], 0, expert, down[row : row + 1, tile, :])


def _tiles(shapes: tuple[Shape, ...], dtype: DType) -> _Sums:
    return _Sums(*(nl.ndarray(shape, dtype=dtype, buffer=nl.sbuf) for shape in shapes))


def _product(stationary: list[Tensor], moving: list[Tensor]) -> Tensor:
    """The sum of stationary.T @ moving over tiles of slots, in PSUM."""
    shape = (stationary[0].shape[1], moving[0].shape[1])
    sums: Tensor = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
    for t, (left, right) in enumerate(zip(stationary, moving, strict=True)):
        nisa.nc_matmul(dst=sums, stationary=left, moving=right, accumulate=t > 0)
    return sums


def _store(target: Tensor, pattern: Pattern, offset: int, expert: IndexTile, sums: Tensor) -> None:
    dst = target.ap(pattern=pattern, offset=offset, scalar_offset=expert, indirect_dim=0)
    nisa.dma_copy(dst=dst, src=sums, oob_mode=nisa.oob_mode.skip)


def _flat_pieces(sums: _Sums) -> Iterator[Tensor]:
    for tile in sums:
        _, tiles, columns = tile.shape
        flat = tile.reshape((PARTITIONS, tiles * columns))
        for piece in spans(tiles * columns, SWAPPED):
            yield flat[:, piece.slice]
