# SPDX-License-Identifier: Apache-2.0
"""Where results go: a row of its own for each pair; where they are added, that is the way there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.small_tiles import MOST, SmallTiles
from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import Slab, my_share, zero_rows
from nkimoe.kernels.stages.sum_of_choices import SumOfChoices
from nkimoe.kernels.tensor import DType, IndexTile, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.spec import Pairs


class ResultRows:
    """[rows of a * choices, columns]; rows of pairs that have no slot are zero."""

    def __init__(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> None:
        self._rows, self._pitch, self._dtype = plan.problem.T * request.options.choices, plan.problem.I, dtype
        self._tensor = self._begun(request, plan, dtype)
        self._held: list[tuple[Tensor, Tensor]] = []
        self._small: SmallTiles | None = None

    def _begun(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> Tensor:
        """The rows, zero if some will not be written."""
        tensor = shared_tensor((self._rows, self._pitch), dtype, "result")
        if request.options.has_gaps:
            zero_rows(Slab(tensor, self._rows, Span(0, self._pitch), self._pitch), my_share(self._rows))
            if plan.problem.cores > 1:
                nisa.core_barrier(data=tensor, cores=(0, 1))
        return tensor

    def rows(self, columns: Span, slots: int) -> list[Tensor]:
        """Room for some columns of pairs, in tiles of up to 128."""
        return [self._room(columns, own.size) for own in spans(slots, PARTITIONS)]

    def _room(self, columns: Span, slots: int) -> Tensor:
        if slots > MOST:
            tile: Tensor = nl.ndarray((slots, columns.size), dtype=self._dtype, buffer=nl.sbuf)
            return tile
        if self._small is not None and self._small.columns != columns:
            self._release()
        if self._small is None:
            self._small = SmallTiles(columns, slots, self._dtype)
        return self._small.room()

    def hold(self, rows: list[Tensor], columns: Span, part: Part) -> None:
        """They are complete, and leave with the next `write`; small tiles with the last that shares their scatter."""
        for tile, pairs in zip(rows, part.pairs, strict=True):
            if tile.shape[0] > MOST:
                self._hold(tile, columns, pairs)
            else:
                assert self._small is not None, "there was room"
                self._small.add(pairs)
                if self._small.is_full:
                    self._release()

    def _hold(self, tile: Tensor, columns: Span, pairs: IndexTile) -> None:
        slab = Slab(self._tensor, self._rows, columns, self._pitch)
        self._held.append((tile, slab.at(pairs, self._rows)))

    def _release(self) -> None:
        """Small tiles leave with the next `write`."""
        if self._small is not None:
            rows, pairs = self._small.held
            self._hold(rows, self._small.columns, pairs)
            self._small = None

    def write(self) -> Iterator[None]:
        """Scatter what is held, a tile a step; pad slots are out of bounds and write nothing."""
        held, self._held = self._held, []
        for tile, place in held:
            nisa.dma_copy(dst=place, src=tile, oob_mode=nisa.oob_mode.skip)
            yield

    def write_rest(self) -> None:
        """Scatter all that is complete."""
        self._release()
        for _ in self.write():
            pass

    def finish(self) -> Tensor:
        """What the kernel returns."""
        return self._tensor


class SummedRows(ResultRows):
    """fp32 rows that are added at the end: [rows of a / summed, columns]."""

    def __init__(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> None:
        self._sum = _sum_of_rows(request, plan, dtype)
        super().__init__(request, plan, nl.float32)

    def _begun(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> Tensor:
        self._sum.begin()
        return self._sum.slab.tensor

    def finish(self) -> Tensor:
        return self._sum.finish()


def _sum_of_rows(request: GemmRequest, plan: GemmPlan, dtype: DType) -> SumOfChoices:
    """As if the rows of results were choices of tokens."""
    options, p = request.options, plan.problem
    assert options.summed is not None, "else rows stay"
    rows = p.T * options.choices // options.summed
    pairs = Pairs(request.positions, request.weights, options.summed, False, options.has_gaps)
    total = shared_tensor((rows, p.I), dtype, "result")
    slots = replace(request.slots(dtype), pairs=pairs)
    return SumOfChoices(total, slots, replace(p, T=rows, rows=rows, H=p.I), Span(0, p.I))


def make_result(request: GemmRequest, plan: GemmPlan) -> ResultRows:
    """The form that the options ask for."""
    kind = ResultRows if request.options.summed is None else SummedRows
    return kind(request, plan, getattr(nl, request.options.out_dtype))
