# SPDX-License-Identifier: Apache-2.0
"""Block scales on chip: four rows of each quadrant beside the packed rows they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.mx.operands import BLOCK_ROWS, SCALE_ROWS, cleared, scale_runs, unit_scales
from nkimoe.kernels.tensor import IndexTile, Pattern, Shape, Tensor
from nkimoe.planning.mx.tiling import InnerTile
from nkimoe.planning.tiling import PARTITIONS, QUADRANT, Span, ceil_div, spans

EXACT = 1 << 24  # up to here fp32 holds every integer; rows of scales are computed in it
NOBODY = EXACT // 2  # a row behind the last one, with room for an expert's first row on top
COARSE_COLUMNS = 128  # that share a scale with `use_block128_scales`
SHARERS = 4  # tiles of a contraction whose scales share a tile of partitions, as the caller packs them


class ScaleRows:
    """Which row of a tensor [E, rows, ...] of scales each partition holds: one gather fetches all quadrants.

    Args:
        tensor: the scales.
        first, rows: packed rows whose scales are wanted.
        alike: scale rows that have one row of the tensor, 1 or those of a quadrant.
    """

    def __init__(self, tensor: Tensor, first: int, rows: int, alike: int = 1) -> None:
        self._tensor, self._first, self._rows, self._alike = tensor, first, rows, alike
        self._base: Tensor | None = None

    def load(self, dst: Tensor, pattern: Pattern, offset: int, expert: IndexTile) -> None:
        """dst [128, ...] receives what `pattern` says of each row, partitions without a row nothing.

        Args:
            expert: int32 [128, 1]; E loads nothing.
        """
        E, count = self._tensor.shape[:2]
        rows = nl.ndarray((PARTITIONS, 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=rows, data=expert, op0=nl.multiply, operand0=float(count), op1=nl.add, operand1=self._of_expert_0()
        )
        pitch = prod(self._tensor.shape[2:])
        source = self._tensor.reshape((E * count, pitch)).ap(
            pattern=[[pitch, PARTITIONS], *pattern], offset=offset, vector_offset=rows, indirect_dim=0
        )
        nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def _of_expert_0(self) -> Tensor:
        """fp32 [128, 1]."""
        if self._base is None:
            self._base = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.memset(dst=self._base, value=float(NOBODY))
            for row, partition, count in scale_runs(self._first, self._rows, PARTITIONS):
                nisa.iota(
                    dst=self._base[partition : partition + count, :], pattern=[[1, 1]], offset=row // self._alike,
                    channel_multiplier=1 if self._alike == 1 else 0,
                )  # fmt: skip
        return self._base


class RepeatedRows:
    """The same rows by a plain transfer, which GpSimd does not describe: each quadrant gets its four rows again and
    again, eight times the bytes of a gather. Only the first four count.

    The Scalar Engine's queue starts it: that of Sync is busy with weights.

    Args:
        tensor: [E, rows, ...] of scales.
        first, rows: packed rows whose scales are wanted, in whole quadrants.
    """

    def __init__(self, tensor: Tensor, first: int, rows: int) -> None:
        self._tensor, self._first, self._quadrants = tensor, first // BLOCK_ROWS, rows // QUADRANT

    def load(self, dst: Tensor, pattern: Pattern, offset: int, expert: IndexTile) -> None:
        """As `ScaleRows.load`."""
        pitch = prod(self._tensor.shape[2:])
        quadrants = [[SCALE_ROWS * pitch, self._quadrants], [0, QUADRANT // SCALE_ROWS], [pitch, SCALE_ROWS]]
        source = self._tensor.ap(
            pattern=[*quadrants, *pattern],
            offset=self._first * pitch + offset,
            scalar_offset=expert[0:1, :],
            indirect_dim=0,
        )
        nisa.dma_copy(
            dst=dst[0 : self._quadrants * QUADRANT], src=source, oob_mode=nisa.oob_mode.skip,
            dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar,
        )  # fmt: skip


AnyRows = ScaleRows | RepeatedRows


class Scales:
    """The scales of one piece of weights.

    Args:
        tensor: of all experts.
        shape: of the piece's packed elements.
        rows: where the scales of each group of tiles are.
    """

    def __init__(self, tensor: Tensor, shape: Shape, rows: Sequence[AnyRows]) -> None:
        self._tensor, self._rows = tensor, rows
        self._tile = cleared(shape, tensor.dtype)  # rows and partitions that no transfer writes

    def load_gate_up(self, expert: IndexTile, projections: Span, columns: Span) -> None:
        """Scales of some columns of I."""
        _, _, _, n, I = self._tensor.shape
        pattern = [[n * I, projections.size], [I, n], [1, columns.size]]
        dst = self._tile[:, :, :, 0 : columns.size]
        self._rows[0].load(dst, pattern, projections.start * n * I + columns.start, expert)

    def load_down(self, expert: IndexTile, group: int, at: Span, tiles: list[InnerTile], columns: Span) -> None:
        """Scales of tiles `at` of this core's part of I, which hold the same packed rows each."""
        _, _, _, H = self._tensor.shape
        pattern = [[H, at.size], [1, columns.size]]
        dst = self._tile[:, at.slice, 0 : columns.size]
        self._rows[group].load(dst, pattern, tiles[0].tile * H + columns.start, expert)

    def gate_up(self, which: int, h: int, columns: slice) -> Tensor:
        """For tile h of H, [128, columns]."""
        return self._tile[:, which, h, columns]

    def down(self, rows: slice, at: int, columns: slice) -> Tensor:
        """For tile `at` of I, [rows, columns]."""
        return self._tile[rows, at, columns]


class CoarseScales(Scales):
    """Scales of 32 packed rows and 128 columns each (`use_block128_scales`), spread on chip when they have come."""

    def __init__(self, tensor: Tensor, shape: Shape, rows: Sequence[AnyRows]) -> None:
        super().__init__(tensor, shape, rows)
        self._arrived = cleared((*shape[:-1], ceil_div(shape[-1], COARSE_COLUMNS * 4) * 4), tensor.dtype)

    def load_gate_up(self, expert: IndexTile, projections: Span, columns: Span) -> None:
        _, _, _, n, blocks = self._tensor.shape
        own = _coarse(columns)
        arrived = self._arrived[:, :, :, 0 : own.size]
        offset = projections.start * n * blocks + own.start
        self._rows[0].load(arrived, [[n * blocks, projections.size], [blocks, n], [1, own.size]], offset, expert)
        for run in spans(columns.size, COARSE_COLUMNS):
            block = run.start // COARSE_COLUMNS
            scale = arrived[:, :, :, block : block + 1].broadcast(3, run.size)
            nisa.tensor_copy(dst=self._tile[:, :, :, run.slice], src=scale, engine=nisa.engine.gpsimd)

    def load_down(self, expert: IndexTile, group: int, at: Span, tiles: list[InnerTile], columns: Span) -> None:
        _, _, _, blocks = self._tensor.shape
        own = _coarse(columns)
        arrived = self._arrived[:, at.slice, 0 : own.size]
        pattern, offset = [[blocks, at.size], [1, own.size]], tiles[0].tile * blocks + own.start
        self._rows[group].load(arrived, pattern, offset, expert)
        for run in spans(columns.size, COARSE_COLUMNS):
            block = run.start // COARSE_COLUMNS
            scale = arrived[:, :, block : block + 1].broadcast(2, run.size)
            nisa.tensor_copy(dst=self._tile[:, at.slice, run.slice], src=scale, engine=nisa.engine.gpsimd)


def _coarse(columns: Span) -> Span:
    """The scales of columns that start at a multiple of 128."""
    return Span(columns.start // COARSE_COLUMNS, ceil_div(columns.size, COARSE_COLUMNS))


class PackedScales:
    """Scales that share tiles of 128 partitions in HBM, four tiles of a contraction in each (`use_packed_scales`).

    Those of gate and up are one transfer and stay packed; of down, each row is fetched to its place.
    """

    def __init__(self, tensor: Tensor, shape: Shape) -> None:
        self._tensor = tensor
        self._tile = cleared(shape, tensor.dtype)  # rows and partitions that no transfer writes

    def load_gate_up(self, expert: IndexTile, projections: Span, columns: Span) -> None:
        _, _, buffers, matrices, I = self._tensor.shape
        pattern = [
            [buffers * matrices * I, PARTITIONS], [matrices * I, buffers], [I, projections.size], [1, columns.size],
        ]  # fmt: skip
        dst = self._tile[:, :, :, 0 : columns.size]
        self._fetch(dst, pattern, projections.start * I + columns.start, expert)

    def load_down(self, expert: IndexTile, group: int, at: Span, tiles: list[InnerTile], columns: Span) -> None:
        _, _, buffers, H = self._tensor.shape
        for here, tile in zip(range(at.start, at.stop), tiles, strict=True):
            buffer, place = divmod(tile.tile, SHARERS)
            for row, partition, count in scale_runs(tile.first, tile.rows, SCALE_ROWS):
                source = row // SCALE_ROWS * QUADRANT + place * SCALE_ROWS + row % SCALE_ROWS
                pattern = [[buffers * H, count], [1, columns.size]]
                dst = self._tile[partition : partition + count, here, 0 : columns.size]
                self._fetch(dst, pattern, (source * buffers + buffer) * H + columns.start, expert)

    def gate_up(self, which: int, h: int, columns: slice) -> Tensor:
        buffer, place = divmod(h, SHARERS)
        return self._tile[place * SCALE_ROWS :, buffer, which, columns]

    def down(self, rows: slice, at: int, columns: slice) -> Tensor:
        return self._tile[rows, at, columns]

    def _fetch(self, dst: Tensor, pattern: Pattern, offset: int, expert: IndexTile) -> None:
        source = self._tensor.ap(pattern=pattern, offset=offset, scalar_offset=expert[0:1, :], indirect_dim=0)
        nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)


class UnitScales:
    """Block scales of 1, for weights whose scales multiply the results instead."""

    def __init__(self, columns: int) -> None:
        self._tile = unit_scales(columns)

    def load_gate_up(self, expert: IndexTile, projections: Span, columns: Span) -> None:
        """Nothing to load."""

    def load_down(self, expert: IndexTile, group: int, at: Span, tiles: list[InnerTile], columns: Span) -> None:
        """Nothing to load."""

    def gate_up(self, which: int, h: int, columns: slice) -> Tensor:
        """[128, columns]."""
        return self._tile[:, 0 : columns.stop - columns.start]

    def down(self, rows: slice, at: int, columns: slice) -> Tensor:
        """[rows, columns]."""
        return self._tile[rows, 0 : columns.stop - columns.start]


BlockScales = Scales | PackedScales | UnitScales


def packed_shape(shape: Shape) -> Shape:
    """[128, ceil(H/2048), projections, columns] of [128, projections, H/512, columns]."""
    rows, projections, tiles, columns = shape
    return rows, ceil_div(tiles, SHARERS), projections, columns
