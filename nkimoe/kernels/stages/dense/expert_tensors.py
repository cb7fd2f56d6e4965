"""Transfers of one expert's tensors to SBUF; an expert index of E transfers nothing.

Gate/up weights lie as [128, H/128, projections, columns of I]; contraction tile k, partition p is the row of H that
`transpose_tokens.hidden_rows` names. Down weights lie as [128, I/128, columns of H], row i on partition i % 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.pieces import Piece, Vector
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import ROW, Matrix, Scale
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div


@dataclass(frozen=True)
class ExpertTensors:
    """The tensors of a request, as one core sees them: its columns of I, all of H.

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

    @property
    def inner_tiles(self) -> int:
        """Tiles of 128 rows of this core's part of I."""
        return ceil_div(self.share.inner.size, PARTITIONS)

    def gate_up_tile(self, piece: Piece) -> Any:
        """Room for a piece of the gate and up weights."""
        shape = (PARTITIONS, piece.tiles, len(self.projections), piece.columns.size)
        return nl.ndarray(shape, dtype=self.gate_up.on_chip(self.request.compute_dtype), buffer=nl.sbuf)

    def load_gate_up(self, tile: Any, expert: Any, piece: Piece) -> None:
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

    def down_tile(self, piece: Piece) -> Any:
        """Room for a piece of the down weights."""
        dtype = self.down.on_chip(self.request.compute_dtype)
        return nl.ndarray((PARTITIONS, piece.tiles, piece.columns.size), dtype=dtype, buffer=nl.sbuf)

    def load_down(self, tile: Any, expert: Any, piece: Piece) -> None:
        """Whole tiles of 128 rows in one transfer, the rest in another."""
        H, columns = self.plan.problem.H, piece.columns
        for first, rows, count in row_tiles(self.share.inner.size):
            source = self.request.down_proj_weight.ap(
                pattern=[[H, rows], [PARTITIONS * H, count], [1, columns.size]],
                offset=(self.share.inner.start + first * PARTITIONS) * H + columns.start,
                scalar_offset=expert[0:1, :],
                indirect_dim=0,
            )
            dst = tile[0:rows, first : first + count, 0 : columns.size]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def gate_up_bias(self) -> Vector:
        """fp32 [128, 2, I/128]: element i of a bias on partition i % 128."""
        return self._along_inner(self.request.gate_and_up_proj_bias)

    def gate_up_scale(self, scale: Scale) -> Vector:
        """Likewise; [128, 2, 1] when one scale serves a matrix."""
        if scale.layout == ROW:
            return self._along_inner(scale.tensor)
        return self._everywhere(scale.tensor, 0, 2, (PARTITIONS, 2, 1))

    def down_scale(self, scale: Scale) -> Vector:
        """fp32 [128, columns of H that this core writes], or [128, 1]; the same on all partitions."""
        own = self.share.written if scale.layout == ROW else Span(0, 1)
        return self._everywhere(scale.tensor, own.start, own.size, (PARTITIONS, own.size))

    def in_scale(self, tensor: Any) -> Vector:
        """fp32 [128, 1], the same on all partitions."""
        return self._everywhere(tensor, 0, 1, (PARTITIONS, 1))

    def _along_inner(self, tensor: Any) -> Vector:
        """This core's part of rows [E, 2 x I], cast to fp32 on the way."""
        I, start = self.plan.problem.I, self.share.inner.start

        def load(tile: Any, expert: Any) -> None:
            for first, rows, count in row_tiles(self.share.inner.size):
                pattern = [[1, rows], [I, 2], [PARTITIONS, count]]
                source = of_expert(tensor, pattern, start + first * PARTITIONS, expert)
                dst = tile[0:rows, :, first : first + count]
                nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

        tile = nl.ndarray((PARTITIONS, 2, self.inner_tiles), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=tile, value=0)  # beyond the last row of I
        return Vector(tile, load)

    def _everywhere(self, tensor: Any, start: int, size: int, shape: tuple[int, ...]) -> Vector:
        """Elements start .. start + size - 1 of an expert's row, on all partitions."""

        def load(tile: Any, expert: Any) -> None:
            source = of_expert(tensor, [[0, PARTITIONS], [1, size]], start, expert)
            nisa.dma_copy(dst=tile, src=source, oob_mode=nisa.oob_mode.skip)

        return Vector(nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf), load)

    def down_bias(self) -> Vector:
        """[1, columns of H that this core writes]."""
        H, own = self.plan.problem.H, self.share.written

        def load(tile: Any, expert: Any) -> None:
            source = of_expert(self.request.down_proj_bias, [[H, 1], [1, own.size]], own.start, expert)
            nisa.dma_copy(dst=tile, src=source, oob_mode=nisa.oob_mode.skip)

        return Vector(nl.ndarray((1, own.size), dtype=self.request.compute_dtype, buffer=nl.sbuf), load)


def of_expert(tensor: Any, pattern: list[list[int]], offset: int, expert: Any) -> Any:
    """A view of an expert's part of `tensor`; the first part of one that all experts share.

    Sharing does not depend on E: with one expert, both are the same.
    """
    if int(tensor.shape[0]) == 1:
        return tensor.ap(pattern=pattern, offset=offset)
    return tensor.ap(pattern=pattern, offset=offset, scalar_offset=expert[0:1, :], indirect_dim=0)


def row_tiles(total: int) -> list[tuple[int, int, int]]:
    """(first tile, rows a tile, tiles): whole tiles of 128 rows, then what is left.

    >>> row_tiles(320), row_tiles(96)
    ([(0, 128, 2), (2, 64, 1)], [(0, 96, 1)])
    """
    whole, rest = divmod(total, PARTITIONS)
    return [part for part in ((0, PARTITIONS, whole), (whole, rest, 1)) if part[1] and part[2]]
