# SPDX-License-Identifier: Apache-2.0
"""A row for each choice of a token, written by its block alone; at the end they are added, in order of choice."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.stages.combine import Combine, replace_in_turns, replace_on_three_engines
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import Output, Slab, my_share, zero_rows
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import FEW_SLOTS, PARTITIONS, SUMMED_BYTES, Span, spans

GPSIMD_SHARE = 1 / 3  # of the columns: it adds half as fast as the Vector Engine


class SumOfChoices(Output):
    """No old rows are read and none is rounded twice: less is moved than where blocks add to one row, and by half as
    many gathers and scatters.

    Args:
        tensor: [rows, H], the output.
        written: columns of this core: all, and both cores write rows, or its own.
    """

    def __init__(self, tensor: Tensor, request: Request, p: Problem, written: Span) -> None:
        pairs = request.pairs
        assert pairs is not None, "the plan says so"
        dtype = request.output_dtype if pairs.rounds_each else nl.float32
        rows = shared_tensor((p.rows * pairs.choices, p.H), dtype, "choices")
        super().__init__(tensor, Slab(rows, p.rows * pairs.choices, written, p.H), p.rows * pairs.choices, dtype)
        self._choices, self._has_gaps, self._p = pairs.choices, pairs.has_gaps, p
        self._combine = replace_on_three_engines if p.B <= FEW_SLOTS else replace_in_turns
        self._shares_rows = p.cores > 1 and written.size == p.H

    def begin(self) -> None:
        """Choices of no block add nothing."""
        if self._has_gaps:
            zero_rows(self.slab, self._tiles(self.slab.rows))
            self._meet()

    def fresh_rows(self, ids: IndexTile) -> tuple[Tensor, Combine]:
        return super().fresh_rows(ids)[0], self._combine

    def ids_of(self, part: Part) -> list[IndexTile]:
        return part.pairs

    def finish(self) -> Tensor:
        """The cores take turns, or each adds its columns."""
        self._meet()
        k, own = self._choices, self.slab.columns
        each = max(PARTITIONS, SUMMED_BYTES // (k * (2 if self.dtype != nl.float32 else 4)))
        for tokens in self._tiles(self._p.rows):
            for columns in spans(own.size, min(own.size, each), own.start):
                self._add(tokens, columns)
        return self.tensor

    def _tiles(self, rows: int) -> list[Span]:
        return my_share(rows) if self._shares_rows else spans(rows, PARTITIONS)

    def _add(self, tokens: Span, columns: Span) -> None:
        k, H = self._choices, self._p.H
        rows = nl.ndarray((tokens.size, k, columns.size), dtype=self.dtype, buffer=nl.sbuf)
        pattern = [[k * H, tokens.size], [H, k], [1, columns.size]]
        nisa.dma_copy(dst=rows, src=self.slab.tensor.ap(pattern=pattern, offset=tokens.start * k * H + columns.start))
        total = nl.ndarray((tokens.size, columns.size), dtype=self.tensor.dtype, buffer=nl.sbuf)
        gpsimd = int(columns.size * GPSIMD_SHARE)
        shares = (nisa.engine.gpsimd, Span(0, gpsimd)), (nisa.engine.vector, Span(gpsimd, columns.size - gpsimd))
        for engine, own in (share for share in shares if share[1].size):
            so_far = rows[:, 0, own.slice]
            if k == 1:
                nisa.tensor_copy(dst=total[:, own.slice], src=so_far, engine=engine)
            for j in range(1, k):
                room = nl.ndarray((tokens.size, own.size), dtype=nl.float32, buffer=nl.sbuf)
                dst = total[:, own.slice] if j == k - 1 else room
                nisa.tensor_tensor(dst=dst, data1=so_far, data2=rows[:, j, own.slice], op=nl.add, engine=engine)
                so_far = dst
        out = self.tensor.ap(pattern=[[H, tokens.size], [1, columns.size]], offset=tokens.start * H + columns.start)
        nisa.dma_copy(dst=out, src=total)

    def _meet(self) -> None:
        if self._shares_rows:
            nisa.core_barrier(data=self.slab.tensor, cores=(0, 1))
