"""m Wd + bd, 128 tokens and two PSUM banks of columns of H at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.language as nl

from nkimoe.kernels.stages.dense.project_down import add_bias
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import Operand, multiply
from nkimoe.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans

COLUMNS = 2 * PSUM_COLUMNS  # half as many passes to get results out of PSUM


def project_down(
    hidden: Operand, weights: Any, now: Part, following: Part | None, bias_factors: list[Any]
) -> Iterator[tuple[int, Span, Any]]:
    """Yield (token tile, columns of H, PSUM [128, columns]) until every tile has every column.

    Args:
        hidden: [128, tiles of I, tokens].
        bias_factors: for each token tile, [1, 128], what the bias is multiplied by.
    """
    for (_, columns), down in weights.down.visit(now, following):
        for tile, tokens in enumerate(spans(hidden.data.shape[2], PARTITIONS)):
            for piece in spans(columns.size, COLUMNS):
                result = nl.ndarray((PARTITIONS, piece.size), dtype=nl.float32, buffer=nl.psum)
                for at, inner in enumerate(weights.inner):
                    rows = slice(0, inner.padded_rows)
                    multiply(result, hidden.part(rows, at, tokens.slice), down.part(rows, at, piece.slice), at)
                here = Span(columns.start + piece.start, piece.size)
                add_bias(result, weights.down_finish.bias_row(here), bias_factors[tile])
                yield tile, here, result
