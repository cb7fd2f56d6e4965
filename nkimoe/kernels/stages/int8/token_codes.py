"""The tokens of a part, quantised row by row and turned into columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.across_columns import AcrossColumns
from nkimoe.kernels.stages.converted_pieces import convert
from nkimoe.kernels.stages.exact_scale import largest_magnitude
from nkimoe.kernels.stages.int8.codes import Codes, TokenScales, columns_of, int8_like
from nkimoe.kernels.stages.int8.weights import Int8Weights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.token_columns import CopiedColumns, TokenColumns
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, Tiling


class CodeColumns:
    """Codes [128, H/128, tokens], and the scale of each token beside its column."""

    def __init__(self, H: int, tiling: Tiling, own: Span, weights: Int8Weights) -> None:
        self._columns = TokenColumns(H, tiling, own, CopiedColumns(weights.dtype))
        self._dtype, self._across = weights.dtype, AcrossColumns()
        self._scales: Tensor | None = None

    def turn(self, rows: Iterable[Tensor]) -> None:
        """Quantise tiles [128 tokens, H] and transpose their codes."""
        rows = list(rows)
        amax = nl.ndarray((PARTITIONS, len(rows)), dtype=nl.float32, buffer=nl.sbuf)
        for row, largest in zip(rows, columns_of(amax), strict=True):
            largest_magnitude(largest, row)
        scales = TokenScales.of(amax)
        self._columns.turn(self._codes(rows, columns_of(scales.factor)))
        self._scales = self._across.of(columns_of(scales.scale))

    def of(self, part: Part) -> Codes:
        """Those of the part that was turned last; scales are columns."""
        assert self._scales is not None, "made by `turn`"
        return Codes(self._columns.of(part), self._scales)

    def _codes(self, rows: list[Tensor], factors: list[Tensor]) -> Iterator[Tensor]:
        for row, factor in zip(rows, factors, strict=True):
            codes = int8_like(row)
            nisa.activation(dst=codes, op=nl.copy, data=row, scale=factor)
            values = nl.ndarray(tuple(row.shape), dtype=self._dtype, buffer=nl.sbuf)
            convert(values, codes)
            yield values
