"""x Wg and x Wu, a tile of 128 columns of I at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.weights import ExpertWeights
from nkimoe.kernels.stages.gated_activation import Step
from nkimoe.kernels.stages.scale_by_affinity import scale_columns
from nkimoe.tiling import PARTITIONS, Span, spans

GATE, UP = 0, 1


@dataclass(frozen=True)
class GateUp:
    """Both projections of one tile of I, fp32 [rows, tokens], before their biases.

    Attributes:
        tile: which tile of 128 columns of I.
        rows: columns of I in it.
        gate_bias, up_bias: steps that add the bias; empty without one.
    """

    tile: int
    rows: int
    gate: Any
    up: Any
    gate_bias: tuple[Step, ...]
    up_bias: tuple[Step, ...]


def project_gate_up(tokens: Any, weights: ExpertWeights, affinity_columns: Any) -> Iterator[GateUp]:
    """Yield the projections of each tile of at most 128 columns of I.

    Args:
        tokens: [128, H/128, tokens].
        affinity_columns: [128, tokens] fp32 that multiplies both projections before their bias, or None.
    """
    for columns, tile in weights.gate_up():
        for piece in spans(columns.size, PARTITIONS):
            at = (columns.start + piece.start) // PARTITIONS
            yield GateUp(
                tile=at,
                rows=piece.size,
                gate=scale_columns(_project(tokens, tile, GATE, piece), affinity_columns),
                up=scale_columns(_project(tokens, tile, UP, piece), affinity_columns),
                gate_bias=_bias_step(weights.gate_up_bias, GATE, at, piece),
                up_bias=_bias_step(weights.gate_up_bias, UP, at, piece),
            )


def _project(tokens: Any, weights: Any, which: int, columns: Span) -> Any:
    """PSUM [columns, tokens], accumulated over H."""
    result = nl.ndarray((columns.size, tokens.shape[2]), dtype=nl.float32, buffer=nl.psum)
    for k in range(tokens.shape[1]):
        nisa.nc_matmul(
            dst=result,
            stationary=weights[:, k, which, columns.slice],
            moving=tokens[:, k, :],
            accumulate=k > 0,
        )
    return result


def _bias_step(bias: Any, which: int, tile: int, columns: Span) -> tuple[Step, ...]:
    return () if bias is None else ((nl.add, bias[0 : columns.size, which, tile : tile + 1]),)
