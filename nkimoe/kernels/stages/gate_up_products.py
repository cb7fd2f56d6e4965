# SPDX-License-Identifier: Apache-2.0
"""x Wg and x Wu, a tile of at most 128 columns of I and a PSUM bank of tokens at a time."""

from __future__ import annotations

from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import GateUpProduct, GateUpProducts
from nkimoe.kernels.stages.scale_by_affinity import scale_columns
from nkimoe.kernels.stages.sums import Sum
from nkimoe.kernels.stages.tiled_weights import TiledWeights
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


def gate_up_products(
    tokens: Tensor, weights: TiledWeights, now: Part, following: Part | None, factors: Tensor | None
) -> GateUpProducts:
    """Those of each tile of at most 128 columns of I: (gate, up), or (up,) without a gate.

    Args:
        tokens: [128, H/128, tokens].
        factors: [128, tokens] fp32 that multiply both projections before their bias, or None.
    """
    sums: dict[tuple[int, int, int], Sum] = {}
    for (rows, columns), tile in weights.gate_up.visit(now, following):
        for piece in spans(columns.size, weights.inner_rows):
            at = (columns.start + piece.start) // weights.inner_rows
            for batch in spans(tokens.shape[2], PSUM_COLUMNS):
                group = [(which, at, batch.start) for which in weights.projections]
                for n, place in enumerate(group):
                    if rows.start == 0:
                        sums[place] = weights.gate_up_sum(piece.size, batch.size)
                    operands = tile[:, :, n, piece.slice], _contraction_tiles(tokens, rows)[:, :, batch.slice]
                    sums[place].add(*operands, rows)
                if rows.stop == PARTITIONS * tokens.shape[1]:
                    yield tuple(
                        GateUpProduct(
                            which, at, batch,
                            scale_columns(sums.pop((which, at, batch.start)).total(), factors, batch),
                            weights.gate_up_steps.of(which, at, piece.size),
                        )
                        for which in weights.projections
                    )  # fmt: skip


def _contraction_tiles(tokens: Tensor, rows: Span) -> Tensor:
    """The tiles of tokens [128, H/128, tokens] that meet these rows of weights."""
    return tokens[:, rows.start // PARTITIONS : rows.stop // PARTITIONS, :]
