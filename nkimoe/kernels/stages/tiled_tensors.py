# SPDX-License-Identifier: Apache-2.0
"""Transfers of one expert's weights to SBUF; an expert index of E transfers nothing.

Gate/up weights lie as [128, H/128, projections, columns of I]; contraction tile k, partition p is the row of H that
`token_columns.hidden_rows` names. Down weights lie as [rows, tiles, columns of H], row i on partition i % rows, of
`Tiling.inner_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.expert_vectors import row_tiles
from nkimoe.kernels.stages.weight_pieces import MatrixPiece
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import Matrix
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS


@dataclass(frozen=True)
class TiledTensors:
    """The weights of a request, as one core sees them: its columns of I, all of H.

    Attributes:
        projections: GATE and UP, or UP alone.
        gate_up, down: the weights, and how they are quantised.
    """

    request: Request
    plan: Plan
    share: Share
    projections: tuple[int, ...]
    gate_up: Matrix
    down: Matrix

    def gate_up_tile(self, piece: MatrixPiece) -> Tensor:
        """Room for a piece of the gate and up weights."""
        shape = (PARTITIONS, piece.tiles, len(self.projections), piece.columns.size)
        return nl.ndarray(shape, dtype=self.gate_up.on_chip(self.request.compute_dtype), buffer=nl.sbuf)

    def load_gate_up(self, tile: Tensor, expert: IndexTile, piece: MatrixPiece) -> None:
        """Rows base + p*g .. base + p*g + g-1 of H go to partition p: g rows are one run of HBM."""
        p, g = self.plan.problem, self.plan.tiling.row_group
        (rows, columns), per_row = piece, 2 * p.I
        source = self.request.gate_up_proj_weight.ap(
            pattern=[
                [g * per_row, PARTITIONS],
                [PARTITIONS * g * per_row, piece.tiles // g],
                [per_row, g],
                [p.I, len(self.projections)],
                [1, columns.size],
            ],
            offset=self.projections[0] * p.I + self.share.inner.start + columns.start + rows.start * per_row,
            scalar_offset=expert[0:1, :],
            indirect_dim=0,
        )
        dst = tile[:, 0 : piece.tiles, :, 0 : columns.size]
        nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def down_tile(self, piece: MatrixPiece) -> Tensor:
        """Room for a piece of the down weights."""
        rows, dtype = self.plan.tiling.inner_rows, self.down.on_chip(self.request.compute_dtype)
        tile: Tensor = nl.ndarray((rows, piece.tiles, piece.columns.size), dtype=dtype, buffer=nl.sbuf)
        if self.down.is_converted and piece.rows.size % rows:
            nisa.memset(dst=tile, value=0)  # rows beyond the last are converted with the others
        return tile

    def load_down(self, tile: Tensor, expert: IndexTile, piece: MatrixPiece) -> None:
        """Whole tiles in one transfer, the rest in another."""
        H, columns, size = self.plan.problem.H, piece.columns, self.plan.tiling.inner_rows
        for first, rows, count in row_tiles(self.share.inner.size, size):
            source = self.request.down_proj_weight.ap(
                pattern=[[H, rows], [size * H, count], [1, columns.size]],
                offset=(self.share.inner.start + first * size) * H + columns.start,
                scalar_offset=expert[0:1, :],
                indirect_dim=0,
            )
            dst = tile[0:rows, first : first + count, 0 : columns.size]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)
