# SPDX-License-Identifier: Apache-2.0
"""m Wd + bd, 128 tokens and a PSUM bank of columns of H at a time."""

from __future__ import annotations

import nki.isa as nisa

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import DownProduct, DownProducts
from nkimoe.kernels.stages.tiled_weights import TiledWeights
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


def down_products(
    intermediate: Tensor, weights: TiledWeights, now: Part, following: Part | None, bias_factors: list[Tensor]
) -> DownProducts:
    """All columns of H of every token tile, in PSUM, this core's share of the contraction over I.

    Args:
        intermediate: [128, I/128, tokens], row i on partition i % 128.
        bias_factors: for each token tile, [1, 128], what the bias is multiplied by.
    """
    for (rows, columns), down in weights.down.visit(now, following):
        for tile, tokens in enumerate(spans(intermediate.shape[2], PARTITIONS)):
            for piece in spans(columns.size, PSUM_COLUMNS):
                products = weights.down_sum(tokens.size, piece.size)
                products.add(intermediate[:, :, tokens.slice], down[:, :, piece.slice], rows)
                result = products.total()
                here = Span(columns.start + piece.start, piece.size)
                add_bias(result, weights.down_finish.bias_row(here), bias_factors[tile])
                yield DownProduct(tile, here, result)


def add_bias(result: Tensor, bias: Tensor | None, factors: Tensor) -> None:
    """result += factors x bias: the bias as one more row of the contraction, so that no engine makes a pass for it."""
    if bias is not None:
        nisa.nc_matmul(dst=result, stationary=factors[:, 0 : result.shape[0]], moving=bias, accumulate=True)
