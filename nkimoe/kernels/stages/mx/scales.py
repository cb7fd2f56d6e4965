"""Block scales on chip: four rows of each quadrant beside the packed rows they belong to."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.mx.operands import SCALE_ROWS, scale_runs, unit_scales
from nkimoe.mx_tiling import QUADRANT, QUARTERS, InnerTile
from nkimoe.tiling import PARTITIONS, Span, ceil_div

NO_LIMIT = PARTITIONS
SHARERS = 4  # tiles of a contraction whose scales share a tile of partitions


class Scales:
    """The scales of one piece of weights; `shape` is that of its packed elements."""

    def __init__(self, tensor: Any, shape: tuple[int, ...]) -> None:
        self._tensor = tensor
        self._tile = nl.ndarray(shape, dtype=tensor.dtype, buffer=nl.sbuf)
        nisa.memset(dst=self._tile, value=0)  # of rows and partitions that no transfer writes

    def load_gate_up(self, expert: Any, projections: Span, column: int, tile: InnerTile, first: int) -> None:
        """Scales of a tile of I, whose columns start at `column` in HBM and at `first` on chip."""
        _, _, matrices, n, I = self._tensor.shape
        for row, partition, count in scale_runs(0, PARTITIONS, NO_LIMIT):
            pattern = [
                [matrices * n * I, count],
                [n * I, projections.size],
                [I, n],
                [tile.width, QUARTERS],
                [1, tile.rows],
            ]
            offset = row * matrices * n * I + projections.start * n * I + column
            dst = self._tile[partition : partition + count, :, :, first : first + tile.columns]
            _load(dst, self._tensor, pattern, offset, expert)

    def load_down(self, expert: Any, at: int, tile: InnerTile, columns: Span) -> None:
        """Scales of tile `at` of this core's part of I."""
        _, _, n, H = self._tensor.shape
        for row, partition, count in scale_runs(tile.first, tile.rows, NO_LIMIT):
            pattern, offset = [[n * H, count], [1, columns.size]], (row * n + tile.tile) * H + columns.start
            _load(
                self._tile[partition : partition + count, at, 0 : columns.size], self._tensor, pattern, offset, expert
            )

    def gate_up(self, which: int, h: int, columns: slice) -> Any:
        """For tile h of H, [128, columns]."""
        return self._tile[:, which, h, columns]

    def down(self, rows: slice, at: int, columns: slice) -> Any:
        """For tile `at` of I, [rows, columns]."""
        return self._tile[rows, at, columns]


class PackedScales(Scales):
    """Scales that share tiles of 128 partitions in HBM, four tiles of a contraction in each (`use_packed_scales`).

    Those of gate and up are one transfer and stay packed; of down, each row is fetched to its place.
    """

    def load_gate_up(self, expert: Any, projections: Span, column: int, tile: InnerTile, first: int) -> None:
        _, _, buffers, matrices, I = self._tensor.shape
        step = buffers * matrices * I
        pattern = [
            [step, PARTITIONS], [matrices * I, buffers], [I, projections.size], [tile.width, QUARTERS], [1, tile.rows],
        ]  # fmt: skip
        offset = projections.start * I + column
        _load(self._tile[:, :, :, first : first + tile.columns], self._tensor, pattern, offset, expert)

    def load_down(self, expert: Any, at: int, tile: InnerTile, columns: Span) -> None:
        _, _, buffers, H = self._tensor.shape
        buffer, place = divmod(tile.tile, SHARERS)
        for row, partition, count in scale_runs(tile.first, tile.rows, SCALE_ROWS):
            source = row // SCALE_ROWS * QUADRANT + place * SCALE_ROWS + row % SCALE_ROWS
            pattern, offset = [[buffers * H, count], [1, columns.size]], (source * buffers + buffer) * H + columns.start
            _load(
                self._tile[partition : partition + count, at, 0 : columns.size], self._tensor, pattern, offset, expert
            )

    def gate_up(self, which: int, h: int, columns: slice) -> Any:
        buffer, place = divmod(h, SHARERS)
        return self._tile[place * SCALE_ROWS :, buffer, which, columns]


class UnitScales:
    """Block scales of 1, for weights whose scales multiply the results instead."""

    def __init__(self, columns: int) -> None:
        self._tile = unit_scales(columns)

    def load_gate_up(self, expert: Any, projections: Span, column: int, tile: InnerTile, first: int) -> None:
        """Nothing to load."""

    def load_down(self, expert: Any, at: int, tile: InnerTile, columns: Span) -> None:
        """Nothing to load."""

    def gate_up(self, which: int, h: int, columns: slice) -> Any:
        """[128, columns]."""
        return self._tile[:, 0 : columns.stop - columns.start]

    def down(self, rows: slice, at: int, columns: slice) -> Any:
        """[rows, columns]."""
        return self._tile[rows, 0 : columns.stop - columns.start]


def packed_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """[128, ceil(H/2048), projections, columns] of [128, projections, H/512, columns]."""
    rows, projections, tiles, columns = shape
    return rows, ceil_div(tiles, SHARERS), projections, columns


def _load(dst: Any, tensor: Any, pattern: list[list[int]], offset: int, expert: Any) -> None:
    source = tensor.ap(pattern=pattern, offset=offset, scalar_offset=expert, indirect_dim=0)
    nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)
