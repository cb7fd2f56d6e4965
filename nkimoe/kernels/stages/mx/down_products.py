# SPDX-License-Identifier: Apache-2.0
"""m Wd + bd, 128 tokens and two PSUM banks of columns of H at a time."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import DOWN_COLUMNS, MxOperand, multiply
from nkimoe.kernels.stages.mx.weights import MxWeights
from nkimoe.kernels.stages.products import DownProduct, DownProducts
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, spans


def down_products(
    intermediate: MxOperand, weights: MxWeights, now: Part, following: Part | None, bias_factors: list[Tensor]
) -> DownProducts:
    """All columns of H of every token tile, in PSUM, this core's share of the contraction over I.

    Args:
        intermediate: [128, tiles of I, tokens].
        bias_factors: for each token tile, [1, 128], what the bias is multiplied by.
    """
    for (_, columns), down in weights.down.visit(now, following):
        for tile, tokens in enumerate(spans(intermediate.data.shape[2], PARTITIONS)):
            for piece in spans(columns.size, DOWN_COLUMNS):
                result = nl.ndarray((tokens.size, piece.size), dtype=nl.float32, buffer=nl.psum)
                here = Span(columns.start + piece.start, piece.size)
                started = _start_with_bias(result, weights.down_finish.bias_row(here), bias_factors[tile])
                for at, inner in enumerate(weights.inner):
                    rows = slice(0, inner.padded_rows)
                    multiply(
                        result,
                        intermediate.part(rows, at, tokens.slice),
                        down.part(rows, at, piece.slice),
                        started + at,
                    )
                yield DownProduct(tile, here, result)


def _start_with_bias(result: Tensor, bias: Tensor | None, factors: Tensor) -> int:
    """result = factors x bias, while the last activations are quantised; how many products it holds now."""
    if bias is None:
        return 0
    nisa.nc_matmul(dst=result, stationary=factors[:, 0 : result.shape[0]], moving=bias, accumulate=False)
    return 1
