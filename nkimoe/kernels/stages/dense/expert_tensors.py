"""Transfers of one expert's tensors to SBUF; an expert index of E transfers nothing.

Gate/up weights lie as [128, H/128, projections, columns of I]; contraction tile k, partition p is the row of H that
`transpose_tokens.hidden_rows` names. Down weights lie as [128, I/128, columns of H], row i on partition i % 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.plan import Plan
from nkimoe.request import Request
from nkimoe.shares import Share
from nkimoe.tiling import PARTITIONS, Span, ceil_div, spans

HIDDEN_ROWS_AT_ONCE = 1024  # rows of gate/up weights a transfer: the first matmuls need not wait for all of them


@dataclass(frozen=True)
class ExpertTensors:
    """The tensors of a request, as one core sees them: its columns of I, all of H.

    Attributes:
        projections: GATE and UP, or UP alone.
        dtype: of weights that are not quantised, and of the down bias, on chip.
    """

    request: Request
    plan: Plan
    share: Share
    projections: tuple[int, ...]
    dtype: Any

    @property
    def inner_tiles(self) -> int:
        """Tiles of 128 rows of this core's part of I."""
        return ceil_div(self.share.inner.size, PARTITIONS)

    def gate_up_tile(self, columns: int) -> Any:
        """Room for some columns of the gate and up weights."""
        shape = (PARTITIONS, self.plan.problem.H // PARTITIONS, len(self.projections), columns)
        return nl.ndarray(shape, dtype=self.dtype, buffer=nl.sbuf)

    def load_gate_up(self, tile: Any, expert: Any, columns: Span) -> None:
        """Rows base + p*g .. base + p*g + g-1 of H go to partition p: g rows are one run of HBM."""
        p, g = self.plan.problem, self.plan.tiling.row_group
        per_row, first = 2 * p.I, self.projections[0] * p.I + self.share.inner.start + columns.start
        for rows in spans(p.H // PARTITIONS, max(HIDDEN_ROWS_AT_ONCE // PARTITIONS // g, 1) * g):
            source = self.request.gate_up_proj_weight.ap(
                pattern=[
                    [g * per_row, PARTITIONS],
                    [PARTITIONS * g * per_row, rows.size // g],
                    [per_row, g],
                    [p.I, len(self.projections)],
                    [1, columns.size],
                ],
                offset=first + rows.start * PARTITIONS * per_row,
                scalar_offset=expert,
                indirect_dim=0,
            )
            nisa.dma_copy(dst=tile[:, rows.slice, :, 0 : columns.size], src=source, oob_mode=nisa.oob_mode.skip)

    def down_tile(self, columns: int) -> Any:
        """Room for some columns of the down weights."""
        return nl.ndarray((PARTITIONS, self.inner_tiles, columns), dtype=self.dtype, buffer=nl.sbuf)

    def load_down(self, tile: Any, expert: Any, columns: Span) -> None:
        """Whole tiles of 128 rows in one transfer, the rest in another."""
        H = self.plan.problem.H
        for first, rows, count in row_tiles(self.share.inner.size):
            source = self.request.down_proj_weight.ap(
                pattern=[[H, rows], [PARTITIONS * H, count], [1, columns.size]],
                offset=(self.share.inner.start + first * PARTITIONS) * H + columns.start,
                scalar_offset=expert,
                indirect_dim=0,
            )
            dst = tile[0:rows, first : first + count, 0 : columns.size]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def gate_up_bias_tile(self) -> Any:
        """fp32 [128, 2, I/128]: element i of a bias on partition i % 128."""
        return nl.ndarray((PARTITIONS, 2, self.inner_tiles), dtype=nl.float32, buffer=nl.sbuf)

    def load_gate_up_bias(self, tile: Any, expert: Any) -> None:
        """Cast to fp32 on the way."""
        self._load_column(self.request.gate_and_up_proj_bias, tile, expert)

    def _load_column(self, tensor: Any, tile: Any, expert: Any) -> None:
        """Values along I of [E, 2, I] go to partitions."""
        I = self.plan.problem.I
        for first, rows, count in row_tiles(self.share.inner.size):
            source = tensor.ap(
                pattern=[[1, rows], [I, 2], [PARTITIONS, count]],
                offset=self.share.inner.start + first * PARTITIONS,
                scalar_offset=expert,
                indirect_dim=0,
            )
            dst = tile[0:rows, :, first : first + count]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def down_bias_tile(self) -> Any:
        """[1, columns of H that this core writes]."""
        return nl.ndarray((1, self.share.written.size), dtype=self.dtype, buffer=nl.sbuf)

    def load_down_bias(self, tile: Any, expert: Any) -> None:
        """One row."""
        H, own = self.plan.problem.H, self.share.written
        source = self.request.down_proj_bias.ap(
            pattern=[[H, 1], [1, own.size]], offset=own.start, scalar_offset=expert, indirect_dim=0
        )
        nisa.dma_copy(dst=tile, src=source, oob_mode=nisa.oob_mode.skip)


def row_tiles(total: int) -> list[tuple[int, int, int]]:
    """(first tile, rows a tile, tiles): whole tiles of 128 rows, then what is left.

    >>> row_tiles(320), row_tiles(96)
    ([(0, 128, 2), (2, 64, 1)], [(0, 96, 1)])
    """
    whole, rest = divmod(total, PARTITIONS)
    return [part for part in ((0, PARTITIONS, whole), (whole, rest, 1)) if part[1] and part[2]]
