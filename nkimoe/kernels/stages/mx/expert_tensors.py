"""Transfers of one expert's MX tensors to SBUF; an expert index of E transfers nothing.

Gate and up weights lie apart, each as [128, H/512, columns of I], whole tiles of I even where a core computes part of
one: short runs would take longer. Down weights lie as [128, tiles of I, columns of H]. Packed rows that a quadrant
needs beyond the last are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.expert_tensors import ExpertTensors, of_expert
from nkimoe.kernels.stages.dense.pieces import Piece, Vector
from nkimoe.kernels.stages.mx.operands import Operand
from nkimoe.kernels.stages.mx.scales import PackedScales, ScaleRows, Scales, UnitScales, packed_shape
from nkimoe.planning.mx.quantization import MxMatrix
from nkimoe.planning.mx.tiling import QUARTERS, TILE, InnerTile, inner_groups
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans

WIDEST = 2 * PSUM_COLUMNS  # columns of a moving operand


class GateUpPiece(NamedTuple):
    """One projection of some tiles of I.

    Attributes:
        at: which of the projections there are.
        inner: which of this core's tiles of I.
    """

    at: int
    inner: Span


class GateUp:
    """A piece of the gate or up weights on chip."""

    def __init__(self, data: Any, at: int, scales: Scales | UnitScales) -> None:
        self.data, self.scales, self._at = data, scales, at

    def operand(self, h: int, columns: slice) -> Operand:
        """[128, columns] for tile h of H."""
        return Operand(self.data[:, h, columns], self.scales.gate_up(self._at, h, columns))


class Down:
    """A piece of the down weights on chip."""

    def __init__(self, data: Any, scales: Scales | UnitScales) -> None:
        self.data, self.scales = data, scales

    def part(self, rows: slice, at: int, columns: slice) -> Operand:
        """[rows, columns] for tile `at` of I."""
        return Operand(self.data[rows, at, columns], self.scales.down(rows, at, columns))


@dataclass(frozen=True)
class MxExpertTensors(ExpertTensors):
    """The tensors of a request, as one core sees them: its packed rows of I, all of H.

    Attributes:
        inner: those rows.
        scale_rows: of a tensor of scales, by the packed rows wanted.
    """

    inner: tuple[InnerTile, ...]
    scale_rows: dict[tuple[str, int, int], ScaleRows] = field(default_factory=dict)

    def gate_up_tiles(self, inner: int) -> list[GateUp]:
        """Room for each projection of so many tiles of I; they share the room for scales, which come together."""
        matrix, n = self._mx(self.gate_up), self.plan.problem.H // TILE
        columns = max(self.columns(Span(at, inner)).size for at in range(len(self.inner) - inner + 1))
        shape = (PARTITIONS, len(self.projections), n, columns)
        scales = self._scales(matrix, shape, packed_shape(shape), PARTITIONS, [self._rows("gate_up", 0, PARTITIONS)])
        tiles = []
        for at in range(len(self.projections)):
            data = nl.ndarray((PARTITIONS, n, columns), dtype=getattr(nl, matrix.dtype), buffer=nl.sbuf)
            tiles.append(GateUp(data, at, scales))
        return tiles

    def columns(self, inner: Span) -> Span:
        """The columns of I of some tiles."""
        first, last = self.inner[inner.start], self.inner[min(inner.stop, len(self.inner)) - 1]
        return Span(first.tile * TILE, last.tile * TILE + QUARTERS * last.width - first.tile * TILE)

    def load_gate_up(self, tile: GateUp, expert: Any, piece: Any) -> None:
        """The weights of a GateUpPiece; with the last projection the scales of all: small ones come first."""
        weight, columns = elements(self._mx(self.gate_up)), self.columns(piece.inner)
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

    def down_tile(self, piece: Piece) -> Down:
        """Room for a piece of the down weights."""
        matrix, shape = self._mx(self.down), (PARTITIONS, len(self.inner), piece.columns.size)
        data = nl.ndarray(shape, dtype=getattr(nl, matrix.dtype), buffer=nl.sbuf)
        if any(tile.rows < tile.padded_rows for tile in self.inner):
            nisa.memset(dst=data, value=0)
        rows = [self._rows("down", self.inner[at.start].first, self.inner[at.start].rows) for at in self._groups]
        return Down(data, self._scales(matrix, shape, shape, min(WIDEST, piece.columns.size), rows))

    def load_down(self, tile: Down, expert: Any, piece: Piece) -> None:
        """Tiles of I that hold the same packed rows come together."""
        weight, columns = elements(self._mx(self.down)), piece.columns
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

    def _rows(self, which: str, first: int, rows: int) -> ScaleRows | None:
        matrix = self._mx(self.gate_up if which == "gate_up" else self.down)
        if matrix.blocks is None or matrix.is_packed:
            return None
        return self.scale_rows.setdefault((which, first, rows), ScaleRows(matrix.blocks, first, rows))

    @staticmethod
    def _scales(
        matrix: MxMatrix, shape: tuple[int, ...], packed: tuple[int, ...], widest: int, rows: list[ScaleRows | None]
    ) -> Scales | UnitScales:
        if matrix.blocks is None:
            return UnitScales(widest)
        return PackedScales(matrix.blocks, packed, rows) if matrix.is_packed else Scales(matrix.blocks, shape, rows)

    def gate_up_bias(self) -> Vector:
        """fp32 [128, 2, tiles * 4]: of packed row p, the bias of its column q."""
        bias = self.request.gate_and_up_proj_bias
        n = bias.shape[3]

        def source(at: Span, first: InnerTile, expert: Any) -> Any:
            pattern = [[2 * n * QUARTERS, first.rows], [n * QUARTERS, 2], [1, at.size * QUARTERS]]
            return of_expert(bias, pattern, (first.first * 2 * n + first.tile) * QUARTERS, expert)

        return self._inner_vector(bias.dtype, self._groups, source)

    def _along_inner(self, tensor: Any) -> Vector:
        """The same of rows [E, 2 x I]."""
        I = self.plan.problem.I

        def source(at: Span, first: InnerTile, expert: Any) -> Any:
            pattern = [[1, first.rows], [I, 2], [first.width, QUARTERS]]
            return of_expert(tensor, pattern, first.tile * TILE + first.first, expert)

        return self._inner_vector(tensor.dtype, spans(len(self.inner), 1), source)

    def _inner_vector(self, dtype: Any, groups: list[Span], source: Callable[[Span, InnerTile, Any], Any]) -> Vector:
        """It is fetched as it is and converted on chip: a transfer that converts is made by software."""
        shape = (PARTITIONS, 2, len(self.inner) * QUARTERS)
        fetched, tile = (nl.ndarray(shape, dtype=each, buffer=nl.sbuf) for each in (dtype, nl.float32))
        nisa.memset(dst=fetched, value=0, engine=nisa.engine.gpsimd)  # beyond the last packed row

        def load(tile: Any, expert: Any) -> None:
            for at in groups:
                first = self.inner[at.start]
                dst = fetched[0 : first.rows, :, at.start * QUARTERS : at.stop * QUARTERS]
                nisa.dma_copy(dst=dst, src=source(at, first, expert), oob_mode=nisa.oob_mode.skip)
            nisa.tensor_copy(dst=tile, src=fetched, engine=nisa.engine.gpsimd)

        return Vector(tile, load)

    @staticmethod
    def _mx(matrix: Any) -> MxMatrix:
        return matrix


def elements(matrix: MxMatrix) -> Any:
    """The weights as packed elements, whatever they are stored in."""
    return matrix.weight if str(matrix.weight.dtype) == matrix.dtype else matrix.weight.view(getattr(nl, matrix.dtype))
