# SPDX-License-Identifier: Apache-2.0
"""x Wg, then x Wu, a quarter of a tile of I and a PSUM bank of tokens at a time."""

from __future__ import annotations

import nki.language as nl

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.expert_tensors import GateUpTile
from nkimoe.kernels.stages.mx.operands import TokenOperand, multiply
from nkimoe.kernels.stages.mx.weights import MxWeights
from nkimoe.kernels.stages.products import GateUpProduct, GateUpProducts
from nkimoe.kernels.stages.scale_by_affinity import scale_columns
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.mx.tiling import QUARTERS
from nkimoe.planning.tiling import PSUM_COLUMNS, Span, spans


def gate_up_products(
    tokens: TokenOperand, weights: MxWeights, now: Part, following: Part | None, affinity_columns: Tensor | None
) -> GateUpProducts:
    """One projection at a time of each quarter of each tile of I; gate, if there is one, before the up it belongs to.

    Args:
        tokens: [128, H/512, tokens].
        affinity_columns: [128, tokens] fp32 that multiplies both projections before their bias, or None.
    """
    for piece, tile in weights.gate_up.visit(now, following):
        which, start = weights.projections[piece.at], weights.inner[piece.inner.start].tile
        for at in range(piece.inner.start, piece.inner.stop):
            inner = weights.inner[at]
            for batch in spans(tokens.data.shape[2], PSUM_COLUMNS):
                for q in range(QUARTERS):
                    columns = Span(inner.column(q, start), inner.rows)
                    result = scale_columns(_project(tokens, tile, columns, batch), affinity_columns, batch)
                    steps = weights.gate_up_steps.of(which, at * QUARTERS + q, inner.rows)
                    yield (GateUpProduct(which, at * QUARTERS + q, batch, result, steps),)


def _project(tokens: TokenOperand, weights: GateUpTile, columns: Span, batch: Span) -> Tensor:
    """PSUM [columns, tokens], accumulated over H."""
    result: Tensor = nl.ndarray((columns.size, batch.size), dtype=nl.float32, buffer=nl.psum)
    for h in range(tokens.data.shape[1]):
        stationary = weights.operand(h, columns.slice)
        multiply(result, stationary, tokens.part(slice(None), h, batch.slice), h)
    return result
