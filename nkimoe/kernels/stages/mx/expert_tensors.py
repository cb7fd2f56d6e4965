# SPDX-License-Identifier: Apache-2.0
"""Transfers of one expert's MX weights to SBUF; an expert index of E transfers nothing.

Gate and up weights lie apart, each as [128, H/512, columns of I], whole tiles of I even where a core computes part of
one: short runs would take longer. Down weights lie as [128, tiles of I, columns of H]. Packed rows that a quadrant
needs beyond the last are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.mx.operands import DOWN_COLUMNS, SCALE_ROWS, MxOperand
from nkimoe.kernels.stages.mx.scales import (
    AnyRows,
    BlockScales,
    CoarseScales,
    PackedScales,
    RepeatedRows,
    ScaleRows,
    Scales,
    UnitScales,
    packed_shape,
)
from nkimoe.kernels.stages.weight_pieces import MatrixPiece
from nkimoe.kernels.tensor import IndexTile, Shape, Tensor
from nkimoe.planning.mx.quantization import PACKED_BYTES, MxMatrix
from nkimoe.planning.mx.tiling import QUARTERS, TILE, InnerTile, inner_groups, repeats_scales
from nkimoe.planning.tiling import PARTITIONS, Span


class GateUpPiece(NamedTuple):
    """One projection of some tiles of I.

    Attributes:
        at: which of the projections there are.
        inner: which of this core's tiles of I.
    """

    at: int
    inner: Span


class GateUpTile:
    """A piece of the gate or up weights on chip."""

    def __init__(self, data: Tensor, at: int, scales: BlockScales) -> None:
        self.data, self.scales, self._at = data, scales, at

    def operand(self, h: int, columns: slice) -> MxOperand:
        """[128, columns] for tile h of H."""
        return MxOperand(self.data[:, h, columns], self.scales.gate_up(self._at, h, columns))


class DownTile:
    """A piece of the down weights on chip."""

    def __init__(self, data: Tensor, scales: BlockScales) -> None:
        self.data, self.scales = data, scales

    def part(self, rows: slice, at: int, columns: slice) -> MxOperand:
        """[rows, columns] for tile `at` of I."""
        return MxOperand(self.data[rows, at, columns], self.scales.down(rows, at, columns))


@dataclass(frozen=True)
class MxTensors:
    """The weights of a request, as one core sees them: its packed rows of I, all of H.

    Attributes:
        projections: GATE and UP, or UP alone.
        gate_up, down: the weights, and how they are scaled.
        inner: the packed rows.
        slots: of a block.
        sets: of weights on chip.
        scale_rows: of a tensor of scales, by the packed rows wanted.
    """

    projections: tuple[int, ...]
    gate_up: MxMatrix
    down: MxMatrix
    inner: tuple[InnerTile, ...]
    slots: int
    sets: int
    scale_rows: dict[tuple[str, int, int], ScaleRows] = field(default_factory=dict)

    def gate_up_tiles(self, inner: int) -> list[GateUpTile]:
        """Room for each projection of so many tiles of I; they share the room for scales, which come together."""
        matrix, n = self.gate_up, elements(self.gate_up).shape[3]
        columns = max(self.columns(Span(at, inner)).size for at in range(len(self.inner) - inner + 1))
        shape = (PARTITIONS, len(self.projections), n, columns)
        scales = _scales(matrix, shape, packed_shape(shape), PARTITIONS, [self._rows(matrix, 0, PARTITIONS)])
        tiles = []
        for at in range(len(self.projections)):
            data = nl.ndarray((PARTITIONS, n, columns), dtype=getattr(nl, matrix.dtype), buffer=nl.sbuf)
            tiles.append(GateUpTile(data, at, scales))
        return tiles

    def columns(self, inner: Span) -> Span:
        """The columns of I of some tiles."""
        first, last = self.inner[inner.start], self.inner[min(inner.stop, len(self.inner)) - 1]
        return Span(first.tile * TILE, last.tile * TILE + QUARTERS * last.width - first.tile * TILE)

    def load_gate_up(self, tile: GateUpTile, expert: IndexTile, piece: GateUpPiece) -> None:
        """The weights of a piece; with the last projection the scales of all: small ones come first."""
        weight, columns = elements(self.gate_up), self.columns(piece.inner)
        _, _, matrices, n, I = weight.shape
        if piece.at + 1 == len(self.projections):
            tile.scales.load_gate_up(expert, Span(self.projections[0], len(self.projections)), columns)
        source = weight.ap(
            pattern=[[matrices * n * I, PARTITIONS], [I, n], [1, columns.size]],
            offset=self.projections[piece.at] * n * I + columns.start,
            scalar_offset=expert[0:1, :],
            indirect_dim=0,
        )
        nisa.dma_copy(dst=tile.data[:, :, 0 : columns.size], src=source, oob_mode=nisa.oob_mode.skip)

    def down_tile(self, piece: MatrixPiece) -> DownTile:
        """Room for a piece of the down weights."""
        matrix, shape = self.down, (PARTITIONS, len(self.inner), piece.columns.size)
        data = nl.ndarray(shape, dtype=getattr(nl, matrix.dtype), buffer=nl.sbuf)
        if any(tile.rows < tile.padded_rows for tile in self.inner):
            nisa.memset(dst=data, value=0)
        rows = [self._rows(matrix, self.inner[at.start].first, self.inner[at.start].rows) for at in self._groups]
        return DownTile(data, _scales(matrix, shape, shape, min(DOWN_COLUMNS, piece.columns.size), rows))

    def load_down(self, tile: DownTile, expert: IndexTile, piece: MatrixPiece) -> None:
        """Tiles of I that hold the same packed rows come together."""
        weight, columns = elements(self.down), piece.columns
        _, _, n, H = weight.shape
        for group, at in enumerate(self._groups):
            first = self.inner[at.start]
            tile.scales.load_down(expert, group, at, list(self.inner[at.slice]), columns)
            source = weight.ap(
                pattern=[[n * H, first.rows], [H, at.size], [1, columns.size]],
                offset=(first.first * n + first.tile) * H + columns.start,
                scalar_offset=expert[0:1, :],
                indirect_dim=0,
            )
            dst = tile.data[0 : first.rows, at.slice, 0 : columns.size]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    @property
    def _groups(self) -> list[Span]:
        return inner_groups(self.inner)

    def _rows(self, matrix: MxMatrix, first: int, rows: int) -> AnyRows | None:
        if matrix.blocks is None or matrix.is_packed:
            return None
        columns = self.columns(Span(0, len(self.inner))).size
        packed_bytes = PACKED_BYTES[matrix.dtype]
        if not matrix.is_coarse and repeats_scales(rows, columns, self.slots, packed_bytes, self.sets):
            return RepeatedRows(matrix.blocks, first, rows)
        alike = SCALE_ROWS if matrix.is_coarse else 1
        return self.scale_rows.setdefault((matrix.argument, first, rows), ScaleRows(matrix.blocks, first, rows, alike))


def _scales(matrix: MxMatrix, shape: Shape, packed: Shape, widest: int, rows: list[AnyRows | None]) -> BlockScales:
    if matrix.blocks is None:
        return UnitScales(widest)
    if matrix.is_packed:
        return PackedScales(matrix.blocks, packed)
    kind = CoarseScales if matrix.is_coarse else Scales
    return kind(matrix.blocks, shape, [each for each in rows if each is not None])


def elements(matrix: MxMatrix) -> Tensor:
    """The weights as packed elements, whatever they are stored in."""
    weight: Tensor = matrix.weight
    return weight if str(weight.dtype) == matrix.dtype else weight.view(getattr(nl, matrix.dtype))
