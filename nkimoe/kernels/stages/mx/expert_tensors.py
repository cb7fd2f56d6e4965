"""Transfers of one expert's MX tensors to SBUF; an expert index of E transfers nothing.

Gate/up weights lie as [128, projections, H/512, columns of I], the columns of each tile of I a quarter after another;
down weights as [128, tiles of I, columns of H]. Packed rows that a quadrant needs beyond the last are zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.expert_tensors import ExpertTensors, of_expert
from nkimoe.kernels.stages.dense.pieces import Piece, Vector
from nkimoe.kernels.stages.mx.operands import Operand
from nkimoe.kernels.stages.mx.scales import PackedScales, Scales, UnitScales, packed_shape
from nkimoe.mx_quantization import MxMatrix
from nkimoe.mx_tiling import QUARTERS, TILE, InnerTile
from nkimoe.tiling import PARTITIONS, PSUM_COLUMNS, Span

WIDEST = 2 * PSUM_COLUMNS  # columns of a moving operand


class GateUp:
    """A piece of the gate and up weights on chip."""

    def __init__(self, data: Any, scales: Scales | UnitScales) -> None:
        self.data, self.scales = data, scales

    def operand(self, which: int, h: int, columns: slice) -> Operand:
        """[128, columns] for tile h of H."""
        return Operand(self.data[:, which, h, columns], self.scales.gate_up(which, h, columns))


class Down:
    """A piece of the down weights on chip."""

    def __init__(self, data: Any, scales: Scales | UnitScales) -> None:
        self.data, self.scales = data, scales

    def part(self, rows: slice, at: int, columns: slice) -> Operand:
        """[rows, columns] for tile `at` of I."""
        return Operand(self.data[rows, at, columns], self.scales.down(rows, at, columns))


@dataclass(frozen=True)
class MxExpertTensors(ExpertTensors):
    """The tensors of a request, as one core sees them: its packed rows of I, all of H."""

    inner: tuple[InnerTile, ...]

    def gate_up_tile(self, piece: Piece) -> GateUp:
        matrix = self._mx(self.gate_up)
        columns = sum(tile.columns for tile in self.inner[piece.columns.slice])
        if self.plan.tiling.gate_up_tiles < len(self.inner):  # other pieces will take turns with this one
            columns = max(tile.columns for tile in self.inner)
        shape = (PARTITIONS, len(self.projections), self.plan.problem.H // TILE, columns)
        data = nl.ndarray(shape, dtype=getattr(nl, matrix.dtype), buffer=nl.sbuf)
        return GateUp(data, _scales(matrix, shape, packed_shape(shape), PARTITIONS))

    def load_gate_up(self, tile: GateUp, expert: Any, piece: Piece) -> None:
        weight, first = elements(self._mx(self.gate_up)), 0
        projections = Span(self.projections[0], len(self.projections))
        _, _, matrices, n, I = weight.shape
        for inner in self.inner[piece.columns.slice]:
            column = inner.tile * TILE + inner.first
            pattern = [
                [matrices * n * I, PARTITIONS], [n * I, projections.size], [I, n], [inner.width, QUARTERS],
                [1, inner.rows],
            ]  # fmt: skip
            source = weight.ap(
                pattern=pattern, offset=projections.start * n * I + column, scalar_offset=expert, indirect_dim=0
            )
            tile.scales.load_gate_up(expert, projections, column, inner, first)  # small: they arrive first
            dst = tile.data[:, :, :, first : first + inner.columns]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)
            first += inner.columns

    def down_tile(self, piece: Piece) -> Down:
        matrix, shape = self._mx(self.down), (PARTITIONS, len(self.inner), piece.columns.size)
        data = nl.ndarray(shape, dtype=getattr(nl, matrix.dtype), buffer=nl.sbuf)
        if any(tile.rows < tile.padded_rows for tile in self.inner):
            nisa.memset(dst=data, value=0)
        return Down(data, _scales(matrix, shape, shape, min(WIDEST, piece.columns.size)))

    def load_down(self, tile: Down, expert: Any, piece: Piece) -> None:
        weight, columns = elements(self._mx(self.down)), piece.columns
        _, _, n, H = weight.shape
        for at, inner in enumerate(self.inner):
            offset = (inner.first * n + inner.tile) * H + columns.start
            pattern = [[n * H, inner.rows], [1, columns.size]]
            source = weight.ap(pattern=pattern, offset=offset, scalar_offset=expert, indirect_dim=0)
            tile.scales.load_down(expert, at, inner, columns)
            dst = tile.data[0 : inner.rows, at, 0 : columns.size]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def gate_up_bias(self) -> Vector:
        """fp32 [128, 2, tiles * 4]: of packed row p, the bias of its column q."""
        bias = self.request.gate_and_up_proj_bias
        n = bias.shape[3]

        def load(tile: Any, expert: Any) -> None:
            for at, inner in enumerate(self.inner):
                pattern = [[2 * n * QUARTERS, inner.rows], [n * QUARTERS, 2], [1, QUARTERS]]
                source = of_expert(bias, pattern, (inner.first * 2 * n + inner.tile) * QUARTERS, expert)
                self._fetch(tile, at, source)

        return self._inner_vector(load)

    def _along_inner(self, tensor: Any) -> Vector:
        """The same of rows [E, 2 x I]."""
        I = self.plan.problem.I

        def load(tile: Any, expert: Any) -> None:
            for at, inner in enumerate(self.inner):
                pattern = [[1, inner.rows], [I, 2], [inner.width, QUARTERS]]
                self._fetch(tile, at, of_expert(tensor, pattern, inner.tile * TILE + inner.first, expert))

        return self._inner_vector(load)

    def _fetch(self, tile: Any, at: int, source: Any) -> None:
        dst = tile[0 : self.inner[at].rows, :, at * QUARTERS : (at + 1) * QUARTERS]
        nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)

    def _inner_vector(self, load: Any) -> Vector:
        tile = nl.ndarray((PARTITIONS, 2, len(self.inner) * QUARTERS), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=tile, value=0)  # beyond the last packed row
        return Vector(tile, load)

    @staticmethod
    def _mx(matrix: Any) -> MxMatrix:
        return matrix


def elements(matrix: MxMatrix) -> Any:
    """The weights as packed elements, whatever they are stored in."""
    return matrix.weight if str(matrix.weight.dtype) == matrix.dtype else matrix.weight.view(getattr(nl, matrix.dtype))


def _scales(matrix: MxMatrix, shape: tuple[int, ...], packed: tuple[int, ...], widest: int) -> Scales | UnitScales:
    if matrix.blocks is None:
        return UnitScales(widest)
    return PackedScales(matrix.blocks, packed) if matrix.is_packed else Scales(matrix.blocks, shape)
