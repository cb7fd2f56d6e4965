"""m Wd + bd, 128 tokens and two PSUM banks of columns of H at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import Operand, multiply
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans

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
                here = Span(columns.start + piece.start, piece.size)
                started = _start_with_bias(result, weights.down_finish.bias_row(here), bias_factors[tile])
                for at, inner in enumerate(weights.inner):
                    rows = slice(0, inner.padded_rows)
                    multiply(
                        result, hidden.part(rows, at, tokens.slice), down.part(rows, at, piece.slice), started + at
                    )
                yield tile, here, result


def _start_with_bias(result: Any, bias: Any, factors: Any) -> int:
    """result = factors x bias, while the last activations are quantised; how many products it holds now."""
    if bias is None:
        return 0
    nisa.nc_matmul(dst=result, stationary=factors, moving=bias, accumulate=False)
    return 1
