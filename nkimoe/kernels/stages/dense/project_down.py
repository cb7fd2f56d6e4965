"""m Wd + bd, 128 tokens and a PSUM bank of columns of H at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.weights import ExpertWeights
from nkimoe.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


def project_down(hidden: Any, weights: ExpertWeights, I: int) -> Iterator[tuple[int, Span, Any]]:
    """Yield (token tile, columns of H, PSUM [128, columns]) until every tile has every column.

    Args:
        hidden: [128, I/128, tokens], row i on partition i % 128.
    """
    rows = spans(I, PARTITIONS)
    for columns, down in weights.down():
        for tile, tokens in enumerate(spans(hidden.shape[2], PARTITIONS)):
            for piece in spans(columns.size, PSUM_COLUMNS):
                result = nl.ndarray((PARTITIONS, piece.size), dtype=nl.float32, buffer=nl.psum)
                for i, row in enumerate(rows):
                    nisa.nc_matmul(
                        dst=result,
                        stationary=hidden[0 : row.size, i, tokens.slice],
                        moving=down[0 : row.size, i, piece.slice],
                        accumulate=i > 0,
                    )
                here = Span(columns.start + piece.start, piece.size)
                _add_bias(result, weights.down_bias, here)
                yield tile, here, result


def _add_bias(result: Any, bias: Any, columns: Span) -> None:
    """result += ones x bias: the bias as one more row of the contraction, so that no engine makes a pass for it."""
    if bias is None:
        return
    ones = nl.ndarray((1, PARTITIONS), dtype=bias.dtype, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    nisa.nc_matmul(dst=result, stationary=ones, moving=bias[:, columns.slice], accumulate=True)
