# SPDX-License-Identifier: Apache-2.0
"""The codes of a part's tokens, turned into columns."""

from __future__ import annotations

from collections.abc import Iterable

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.int8.code_rows import CodeRows, codes_of, scale_of
from nkimoe.kernels.stages.int8.codes import CodedColumns
from nkimoe.kernels.stages.int8.paired_codes import InPairs, PairedColumns
from nkimoe.kernels.stages.int8.smooth_rows import smoothed_codes
from nkimoe.kernels.stages.int8.weights import Int8Weights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, Tiling, spans


class CodeColumns:
    """Codes [128, H/128, tokens], and the scale of each token beside its column.

    Each lies in a tile of its own, where a device loop finds what was turned before it.
    """

    def __init__(self, H: int, tiling: Tiling, own: Span, weights: Int8Weights, rows: TokenRows) -> None:
        self._columns = PairedColumns(H, tiling, own, weights.dtype)
        self._across, self._smooth, self._layout = weights.across, weights.smooth, InPairs(tiling.row_group)
        self._table = rows.table if isinstance(rows, CodeRows) else None
        each = tiling.token_tiles if self._table is None else tiling.token_slots
        self._scales: Tensor = nl.ndarray((PARTITIONS, each), dtype=nl.float32, buffer=nl.sbuf)

    def turn(self, rows: Iterable[Tensor]) -> None:
        """Transpose the codes of `CodeRows`, or of rows that are smoothed and quantised here."""
        rows = list(rows)
        codes: Iterable[Tensor]
        if self._table is not None:
            self._table.look_up(self._scales[:, 0 : sum(row.shape[0] for row in rows)])
            codes, scales = rows, []
        elif self._smooth is None:
            codes, scales = [codes_of(row) for row in rows], [scale_of(row) for row in rows]
        else:
            codes, scales = smoothed_codes(rows, self._smooth.hidden.tile, self._layout)
        self._columns.turn(codes)
        for t, scale in enumerate(scales):
            nisa.tensor_copy(dst=self._scale(t, scale.shape[0]), src=scale, engine=nisa.engine.gpsimd)

    def of(self, part: Part) -> CodedColumns:
        """Those of the part that was turned last; scales are columns."""
        columns = self._columns.of(part)
        if self._table is not None:
            return CodedColumns(columns, self._scales[:, 0 : part.slots])
        scales = [self._scale(t, own.size) for t, own in enumerate(spans(part.slots, PARTITIONS))]
        return CodedColumns(columns, self._across.of(scales))

    def _scale(self, tile: int, tokens: int) -> Tensor:
        return self._scales[0:tokens, tile : tile + 1]
