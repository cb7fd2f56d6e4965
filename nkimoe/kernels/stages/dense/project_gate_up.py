"""x Wg and x Wu, a tile of 128 columns of I and a PSUM bank of tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nki.language as nl

from nkimoe.kernels.stages.dense.weights import ExpertWeights
from nkimoe.kernels.stages.element_steps import Steps
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.scale_by_affinity import scale_columns
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans


@dataclass(frozen=True)
class Projection:
    """One projection of one tile of I, fp32 [rows, tokens], and the element-wise steps that are still to come.

    Attributes:
        which: GATE or UP.
        tile: which tile of 128 columns of I on this core.
        tokens: columns of tokens.
        steps: dequantisation, bias and limits, in this order.
    """

    which: int
    tile: int
    tokens: Span
    data: Any
    steps: Steps


def project_gate_up(
    tokens: Any, weights: ExpertWeights, now: Part, following: Part | None, affinity_columns: Any
) -> Iterator[tuple[Projection, ...]]:
    """Yield the projections of each tile of at most 128 columns of I: (gate, up), or (up,) without a gate.

    Args:
        tokens: [128, H/128, tokens].
        affinity_columns: [128, tokens] fp32 that multiplies both projections before their bias, or None.
    """
    sums: dict[tuple[int, int, int], Any] = {}
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
                        Projection(
                            which, at, batch,
                            scale_columns(sums.pop((which, at, batch.start)), affinity_columns, batch),
                            weights.steps_of(which, at, piece.size),
                        )
                        for which in weights.projections
                    )  # fmt: skip


def _contraction_tiles(tokens: Any, rows: Span) -> Any:
    """The tiles of tokens [128, H/128, tokens] that meet these rows of weights."""
    return tokens[:, rows.start // PARTITIONS : rows.stop // PARTITIONS, :]
