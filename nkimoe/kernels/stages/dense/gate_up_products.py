"""x Wg and x Wu, a tile of 128 columns of I and a PSUM bank of tokens at a time."""

from __future__ import annotations

import nki.language as nl

from nkimoe.kernels.stages.dense.weights import DenseWeights
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.products import GateUpProduct, GateUpProducts
from nkimoe.kernels.stages.scale_by_affinity import scale_columns
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


def gate_up_products(
    tokens: Tensor, weights: DenseWeights, now: Part, following: Part | None, affinity_columns: Tensor | None
) -> GateUpProducts:
    """Those of each tile of at most 128 columns of I: (gate, up), or (up,) without a gate.

    Args:
        tokens: [128, H/128, tokens].
        affinity_columns: [128, tokens] fp32 that multiplies both projections before their bias, or None.
    """
    sums: dict[tuple[int, int, int], Tensor] = {}
    for (rows, columns), tile in weights.gate_up.visit(now, following):
        for piece in spans(columns.size, PARTITIONS):
            at = (columns.start + piece.start) // PARTITIONS
            for batch in spans(tokens.shape[2], PSUM_COLUMNS):
                group = [(which, at, batch.start) for which in weights.projections]
                for n, place in enumerate(group):
                    if rows.start == 0:
                        sums[place] = nl.ndarray((piece.size, batch.size), dtype=nl.float32, buffer=nl.psum)
                    operands = tile[:, :, n, piece.slice], _contraction_tiles(tokens, rows)[:, :, batch.slice]
                    weights.contract_gate_up(sums[place], *operands, rows)
                if rows.stop == PARTITIONS * tokens.shape[1]:
                    yield tuple(
                        GateUpProduct(
                            which, at, batch,
                            scale_columns(sums.pop((which, at, batch.start)), affinity_columns, batch),
                            weights.gate_up_steps.of(which, at, piece.size),
                        )
                        for which in weights.projections
                    )  # fmt: skip


def _contraction_tiles(tokens: Tensor, rows: Span) -> Tensor:
    """The tiles of tokens [128, H/128, tokens] that meet these rows of weights."""
    return tokens[:, rows.start // PARTITIONS : rows.stop // PARTITIONS, :]
