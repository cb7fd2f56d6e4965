"""x Wg and x Wu, a quarter of a tile of I and a PSUM bank of tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki.language as nl

from nkimoe.kernels.stages.dense.project_gate_up import Projection
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import Operand, multiply
from nkimoe.kernels.stages.scale_by_affinity import scale_columns
from nkimoe.mx_tiling import QUARTERS
from nkimoe.tiling import PSUM_COLUMNS, Span, spans


def project_gate_up(
    tokens: Operand, weights: Any, now: Part, following: Part | None, affinity_columns: Any
) -> Iterator[tuple[Projection, ...]]:
    """Yield the projections of each quarter of each tile of I: (gate, up), or (up,) without a gate.

    Args:
        tokens: [128, H/512, tokens].
        affinity_columns: [128, tokens] fp32 that multiplies both projections before their bias, or None.
    """
    for (_, piece), tile in weights.gate_up.visit(now, following):
        first = 0
        for at in range(piece.start, piece.stop):
            rows = weights.inner[at].rows
            for batch in spans(tokens.data.shape[2], PSUM_COLUMNS):
                for q in range(QUARTERS):
                    columns = Span(first + q * rows, rows)
                    yield tuple(
                        Projection(
                            which, at * QUARTERS + q, batch,
                            scale_columns(_project(tokens, tile, n, columns, batch), affinity_columns, batch),
                            weights.steps_of(which, at * QUARTERS + q, rows),
                        )
                        for n, which in enumerate(weights.projections)
                    )  # fmt: skip
            first += QUARTERS * rows


def _project(tokens: Operand, weights: Any, which: int, columns: Span, batch: Span) -> Any:
    """PSUM [columns, tokens], accumulated over H."""
    result = nl.ndarray((columns.size, batch.size), dtype=nl.float32, buffer=nl.psum)
    for h in range(tokens.data.shape[1]):
        stationary = weights.operand(which, h, columns.slice)
        multiply(result, stationary, tokens.part(slice(None), h, batch.slice), h)
    return result
