# SPDX-License-Identifier: Apache-2.0
"""Rowwise dynamic quantisation: tokens over partitions, a tile of 128 at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.ops.row_codes import ROUND
from nkimoe.kernels.ops.row_scales import RowScales
from nkimoe.kernels.ops.selected_rows import SelectedRows
from nkimoe.kernels.ops.smooth_rows import UNSELECTED, Choices, Source
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.kernels.stages.gather_tokens import TileRing, leave
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.row_quantisation.plan import RowPlan
from nkimoe.planning.row_quantisation.request import TOPK_MAJOR, RowQuantisation
from nkimoe.planning.row_quantisation.tiling import SmoothSource
from nkimoe.planning.tiling import PARTITIONS, Span

SOURCES: dict[SmoothSource, Source] = {**UNSELECTED, SmoothSource.SELECTED: SelectedRows}


def run(request: RowQuantisation, plan: RowPlan) -> tuple[Tensor, Tensor]:
    """Emit the kernel `plan` describes and return codes [k * T, H] and scales [k * T].

    Where rows of codes have a pitch, what lies between them is not written, and no part of what is returned.
    """
    rows = max(plan.k * plan.T, 1)
    dtype: DType = getattr(nl, plan.codes)
    with name_scope(request.operation):
        codes = shared_tensor((rows, plan.stride), dtype, "codes")
        scales = shared_tensor((rows,), nl.float32, "scales")
    if plan.T == 0:
        return codes[0:0, : plan.H], scales[0:0]
    own = plan.tokens_of(nl.program_id(0))
    if own:
        program = _Program(request, plan, codes, scales)
        waiting: list[_Rows] = []
        for started in program.rows(own):
            waiting.append(started)
            if len(waiting) > plan.ahead:
                program.finish(waiting.pop(0))
        for started in waiting:
            program.finish(started)
    return codes if plan.stride == plan.H else codes[:, : plan.H], scales


class _Rows(NamedTuple):
    """The rows of choice j of a tile of tokens, without codes yet.

    Attributes:
        values: fp32; None if whole rows do not fit, whose columns are computed when they are needed.
    """

    tokens: Span
    j: int
    values: Tensor | None
    scales: RowScales


class _Program:
    """What is on chip for the whole launch, and the two steps of a tile of rows.

    The products of the next rows are issued before the codes of these: the Scalar Engine, which has a part in both,
    does not wait for the maximum in between.
    """

    def __init__(self, request: RowQuantisation, plan: RowPlan, codes: Tensor, scales: Tensor) -> None:
        self._request, self._plan, self._codes, self._scales = request, plan, codes, scales
        self._smooth, self._round = SOURCES[plan.tiling.source](request, plan), ROUND[request.rounding]
        shape = (PARTITIONS, plan.tiling.window)
        self._x = TileRing(2, shape, request.x.dtype, leave)
        self._coded = TileRing(2, shape, codes.dtype, leave)
        self._loaded: tuple[tuple[int, int, int], Tensor] | None = None

    def rows(self, own: list[Span]) -> Iterator[_Rows]:
        """All choices of all tiles of tokens; each is issued when it is asked for."""
        for tokens in own:
            ids = self._request.topk_ids
            choices = None if ids is None else Choices(ids, tokens, self._plan.E)
            self._smooth.choose(choices)
            valid = None if choices is None else choices.valid
            scales = RowScales(self._request, self._plan, tokens.size, valid)
            windows = self._plan.windows
            for j in range(self._plan.k):
                values = self._values(tokens, j, windows[0]) if len(windows) == 1 else None
                yield _Rows(tokens, j, values, scales)

    def finish(self, rows: _Rows) -> None:
        """Codes; behind the last choice also the scales of all."""
        tokens, j, values, scales = rows
        for columns in self._plan.windows:
            scales.see(self._values(tokens, j, columns) if values is None else values, j)
        divisor = scales.divisor(j)
        for columns in self._plan.windows:
            current = self._values(tokens, j, columns) if values is None else values
            coded = self._coded.take()[: tokens.size, : columns.size]
            self._round(coded, current, divisor, self._plan)
            nisa.dma_copy(dst=self._codes_of(tokens, j, columns), src=coded)
        if j == self._plan.k - 1:
            nisa.dma_copy(dst=self._scales_of(tokens), src=scales.scales())

    def _values(self, tokens: Span, j: int, columns: Span) -> Tensor:
        return self._smooth.times(self._load(tokens, j, columns), columns, j)

    def _load(self, tokens: Span, j: int, columns: Span) -> Tensor:
        """Columns of x, unless they are those loaded last: all choices of a token share a row of [T, H]."""
        each = self._plan.k if self._plan.expanded else 1
        own = (tokens.start, j % each, columns.start)
        if self._loaded is None or self._loaded[0] != own:
            tile, H = self._x.take()[: tokens.size, : columns.size], self._plan.H
            offset = (tokens.start * each + j % each) * H + columns.start
            source = self._request.x.ap(pattern=[[each * H, tokens.size], [1, columns.size]], offset=offset)
            nisa.dma_copy(dst=tile, src=source)
            self._loaded = own, tile
        return self._loaded[1]

    def _codes_of(self, tokens: Span, j: int, columns: Span) -> Tensor:
        """Columns of the rows of choice j, in the order asked for."""
        (step, next_choice), stride = self._steps(), self._plan.stride
        return self._codes.ap(
            pattern=[[step * stride, tokens.size], [1, columns.size]],
            offset=(tokens.start * step + j * next_choice) * stride + columns.start,
        )

    def _scales_of(self, tokens: Span) -> Tensor:
        step, next_choice = self._steps()
        return self._scales.ap(pattern=[[step, tokens.size], [next_choice, self._plan.k]], offset=tokens.start * step)

    def _steps(self) -> tuple[int, int]:
        """Rows from a token to the next, and from a choice to the next."""
        return (1, self._plan.T) if self._request.order == TOPK_MAJOR else (self._plan.k, 1)
