"""The codes of a part's tokens, turned into columns."""

from __future__ import annotations

from collections.abc import Iterable

import nki.language as nl

from nkimoe.kernels.stages.int8.code_rows import codes_of, scale_of
from nkimoe.kernels.stages.int8.codes import CodedColumns
from nkimoe.kernels.stages.int8.smooth_rows import smoothed_codes
from nkimoe.kernels.stages.int8.weights import Int8Weights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.token_columns import CopiedColumns, TokenColumns
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, Tiling


class CodeColumns:
    """Codes [128, H/128, tokens], and the scale of each token beside its column.

    There is one tile of either: a device loop finds there what was turned before it.
    """

    def __init__(self, H: int, tiling: Tiling, own: Span, weights: Int8Weights) -> None:
        self._columns = TokenColumns(H, tiling, own, CopiedColumns(weights.dtype))
        self._across, self._smooth, self._dtype = weights.across, weights.smooth, weights.dtype
        width = tiling.token_tiles * PARTITIONS
        self._scales: Tensor = nl.ndarray((PARTITIONS, width), dtype=nl.float32, buffer=nl.sbuf)

    def turn(self, rows: Iterable[Tensor]) -> None:
        """Transpose the codes of `CodeRows`, or of rows that are smoothed and quantised here."""
        rows = list(rows)
        if self._smooth is not None:
            codes, scales = smoothed_codes(rows, self._smooth.hidden.tile, self._dtype)
            self._columns.turn(codes)
            self._across.put(self._scales, scales)
            return
        self._columns.turn(codes_of(row) for row in rows)
        self._across.put(self._scales, [scale_of(row) for row in rows])

    def of(self, part: Part) -> CodedColumns:
        """Those of the part that was turned last; scales are columns."""
        return CodedColumns(self._columns.of(part), self._scales[:, 0 : part.tiles.size * PARTITIONS])
