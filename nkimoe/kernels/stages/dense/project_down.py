"""m Wd + bd, 128 tokens and a PSUM bank of columns of H at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.weights import ExpertWeights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


def project_down(
    hidden: Any, weights: ExpertWeights, now: Part, following: Part | None, bias_factors: list[Any]
) -> Iterator[tuple[int, Span, Any]]:
    """Yield (token tile, columns of H, PSUM [128, columns]) until every tile has every column.

    Args:
        hidden: [128, I/128, tokens], row i on partition i % 128.
        bias_factors: for each token tile, [1, 128], what the bias is multiplied by.
    """
    for (rows, columns), down in weights.down.visit(now, following):
        for tile, tokens in enumerate(spans(hidden.shape[2], PARTITIONS)):
            for piece in spans(columns.size, PSUM_COLUMNS):
                result = nl.ndarray((PARTITIONS, piece.size), dtype=nl.float32, buffer=nl.psum)
                weights.contract_down(result, hidden[:, :, tokens.slice], down[:, :, piece.slice], rows)
                here = Span(columns.start + piece.start, piece.size)
                add_bias(result, weights.down_finish.bias_row(here), bias_factors[tile])
                yield tile, here, result


def add_bias(result: Any, bias: Any, factors: Any) -> None:
    """result += factors x bias: the bias as one more row of the contraction, so that no engine makes a pass for it."""
    if bias is not None:
        nisa.nc_matmul(dst=result, stationary=factors, moving=bias, accumulate=True)
