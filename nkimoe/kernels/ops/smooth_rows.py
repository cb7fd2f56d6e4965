# SPDX-License-Identifier: Apache-2.0
"""Rows times smooth rows, in fp32: by source of the smooth rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.gather_tokens import TileRing, clear, leave
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.row_quantisation.plan import RowPlan
from nkimoe.planning.row_quantisation.request import RowQuantisation
from nkimoe.planning.row_quantisation.tiling import SMOOTH_COLUMNS, SMOOTH_SETS, SmoothSource
from nkimoe.planning.tiling import PARTITIONS, Span, spans


class Choices:
    """The choices of a tile of tokens.

    Attributes:
        ids: int32 [tokens, k].
        numbers: the same in fp32, in which ids below 2**24 are exact and others stay out of range.
        valid: fp32 [tokens, k], 1 where the id names an expert, else 0.
    """

    def __init__(self, topk_ids: Tensor, tokens: Span, n_experts: int) -> None:
        shape = (tokens.size, topk_ids.shape[1])
        self.ids = nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf)
        self.numbers, self.valid, below = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(3))
        nisa.dma_copy(dst=self.ids, src=topk_ids[tokens.slice])
        nisa.tensor_copy(dst=self.numbers, src=self.ids)
        nisa.tensor_scalar(dst=below, data=self.numbers, op0=nl.less, operand0=float(n_experts))
        nisa.scalar_tensor_tensor(
            dst=self.valid, data=self.numbers, op0=nl.greater_equal, operand0=0.0, op1=nl.multiply, operand1=below
        )


class SmoothRows(Protocol):
    """A source of smooth rows."""

    def choose(self, choices: Choices | None) -> None:
        """Take the choices of the next tile of tokens."""
        ...

    def times(self, rows: Tensor, columns: Span, j: int) -> Tensor:
        """Some columns of rows times those of the smooth rows of choice j, in fp32; the rows themselves where there are
        no smooth rows."""
        ...


class NoRows:
    """The rows as they are."""

    def __init__(self, request: RowQuantisation, plan: RowPlan) -> None: ...

    def choose(self, choices: Choices | None) -> None: ...

    def times(self, rows: Tensor, columns: Span, j: int) -> Tensor:
        return rows


class OneRow:
    """One smooth row, on all partitions; of rows that do not fit, the columns at hand."""

    def __init__(self, request: RowQuantisation, plan: RowPlan) -> None:
        self._smooth = request.smooth_scale
        self._row = nl.ndarray((PARTITIONS, plan.tiling.window), dtype=nl.float32, buffer=nl.sbuf)
        self._values, self._loaded = values_ring(plan), Span(0, 0)

    def choose(self, choices: Choices | None) -> None: ...

    def times(self, rows: Tensor, columns: Span, j: int) -> Tensor:
        if columns != self._loaded:
            source = self._smooth.ap(pattern=[[0, PARTITIONS], [1, columns.size]], offset=columns.start)
            nisa.dma_copy(dst=self._row[:, : columns.size], src=source)
            self._loaded = columns
        n = rows.shape[0]
        values = self._values.take()[:n, : columns.size]
        for piece in spans(columns.size, SMOOTH_COLUMNS):
            multiply(values[:, piece.slice], rows[:, piece.slice], self._row[:n, piece.slice])
        return values


class RowsById:
    """The smooth row of each token's expert, fetched by id."""

    def __init__(self, request: RowQuantisation, plan: RowPlan) -> None:
        self._smooth, self._values = request.smooth_scale, values_ring(plan)
        self._choices: Choices | None = None
        # Rows of ids that name no expert stay as they were: numbers, which the mask of the scales takes out.
        self._pieces = TileRing(SMOOTH_SETS, (PARTITIONS, SMOOTH_COLUMNS), nl.float32, clear)

    def choose(self, choices: Choices | None) -> None:
        self._choices = choices

    def times(self, rows: Tensor, columns: Span, j: int) -> Tensor:
        assert self._choices is not None, "chosen before it multiplies"
        n, H = rows.shape[0], self._smooth.shape[1]
        values = self._values.take()[:n, : columns.size]
        for piece in spans(columns.size, SMOOTH_COLUMNS):
            smooth = self._pieces.take()[:n, : piece.size]
            source = self._smooth.ap(
                pattern=[[H, n], [1, piece.size]],
                offset=columns.start + piece.start,
                vector_offset=self._choices.ids[:, j : j + 1],
                indirect_dim=0,
            )
            nisa.dma_copy(dst=smooth, src=source, oob_mode=nisa.oob_mode.skip)
            multiply(values[:, piece.slice], rows[:, piece.slice], smooth)
        return values


def values_ring(plan: RowPlan) -> TileRing:
    """Tiles for products."""
    return TileRing(plan.tiling.value_sets, (PARTITIONS, plan.tiling.window), nl.float32, leave)


def multiply(dst: Tensor, rows: Tensor, smooth: Tensor) -> None:
    """On GpSimd: the Vector Engine has all of the maxima to find."""
    nisa.tensor_tensor(dst=dst, data1=rows, data2=smooth, op=nl.multiply, engine=nisa.engine.gpsimd)


Source = Callable[[RowQuantisation, RowPlan], SmoothRows]
UNSELECTED: dict[SmoothSource, Source] = {
    SmoothSource.NONE: NoRows,
    SmoothSource.ONE: OneRow,
    SmoothSource.GATHERED: RowsById,
}
