# SPDX-License-Identifier: Apache-2.0
"""An expert's weights as tiles of 128 rows: what the two projections need of them, whatever the numerics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from nkimoe.kernels.stages.block_scales import down_block_scales, gate_up_block_scales
from nkimoe.kernels.stages.converted_pieces import (
    Alone,
    Conversion,
    ConvertedPieces,
    OnThreeEngines,
    room_for_values,
)
from nkimoe.kernels.stages.dequantise import DownFinish, GateUpSteps
from nkimoe.kernels.stages.down_pieces import down_pieces
from nkimoe.kernels.stages.sums import Sum
from nkimoe.kernels.stages.tiled_tensors import TiledTensors
from nkimoe.kernels.stages.weight_pieces import LoadPiece, MatrixPiece, Pieces
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.plan import Plan
from nkimoe.planning.quantization import Matrix, down_of, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import FEW_SLOTS, Span, spans

TiledPieces = Pieces[MatrixPiece, Tensor]


class TiledWeights(Protocol):
    """The weights of the expert at hand."""

    @property
    def projections(self) -> tuple[int, ...]:
        """GATE and UP, or UP alone."""
        ...

    @property
    def inner_rows(self) -> int:
        """Columns of I of a tile."""
        ...

    @property
    def gate_up(self) -> TiledPieces: ...

    @property
    def down(self) -> TiledPieces: ...

    @property
    def gate_up_steps(self) -> GateUpSteps: ...

    @property
    def down_finish(self) -> DownFinish: ...

    def gate_up_sum(self, rows: int, columns: int) -> Sum:
        """Of products [columns of I, tokens]."""
        ...

    def down_sum(self, rows: int, columns: int) -> Sum:
        """Of products [tokens, columns of H]."""
        ...


def tiled_pieces(
    request: Request, plan: Plan, share: Share, projections: tuple[int, ...]
) -> tuple[TiledPieces, TiledPieces]:
    """Gate/up and down weights in pieces, codes converted as they are used."""
    t, H = plan.tiling, plan.problem.H
    gate_up, down = gate_up_of(request), down_of(request)
    tensors = TiledTensors(request, plan, share, projections, gate_up, down)
    pieces = gate_up_pieces(H, share.inner.size, t.gate_up_rows, t.gate_up_columns)
    alone = OnThreeEngines() if plan.problem.B <= FEW_SLOTS else Alone()
    tiles = [tensors.gate_up_tile(piece) for piece in rooms(pieces, t.gate_up_tiles)]
    conversion: Conversion = gate_up_block_scales(gate_up, t, share, projections) if gate_up.block else alone
    first = _pieces(gate_up, pieces, tiles, tensors.load_gate_up, request.compute_dtype, conversion)
    pieces = down_pieces(H, share, t.down_columns, t.sent_ahead)
    tiles = [tensors.down_tile(piece) for piece in rooms(pieces, t.down_tiles)]
    conversion = down_block_scales(down, share) if down.block else alone
    return first, _pieces(down, pieces, tiles, tensors.load_down, request.compute_dtype, conversion)


def _pieces(
    matrix: Matrix, pieces: list[MatrixPiece], tiles: list[Tensor], load: LoadPiece[Tensor, MatrixPiece],
    dtype: DType, conversion: Conversion,
) -> TiledPieces:  # fmt: skip
    if not matrix.is_converted:
        return Pieces(pieces, tiles, load)
    return ConvertedPieces(pieces, tiles, load, room_for_values(tuple(tiles[0].shape), dtype), conversion)


def rooms(pieces: list[MatrixPiece], tiles: int) -> list[MatrixPiece]:
    """For each of the tiles that pieces take turns in, one as large as the largest of its own.

    >>> [(p.rows.size, p.columns.size) for p in rooms(gate_up_pieces(384, 768, 256, 256), 3)]
    [(256, 256), (256, 256), (256, 256)]
    """
    turns = [pieces[tile::tiles] for tile in range(min(tiles, len(pieces)))]
    return [MatrixPiece(_largest(p.rows for p in own), _largest(p.columns for p in own)) for own in turns]


def _largest(ranges: Iterable[Span]) -> Span:
    return max(ranges, key=lambda each: each.size)


def gate_up_pieces(H: int, inner: int, rows: int, columns: int) -> list[MatrixPiece]:
    """Pieces of the gate and up weights, all rows of some columns before the next columns.

    >>> [(tuple(p.rows), tuple(p.columns)) for p in gate_up_pieces(384, 512, 256, 512)]
    [((0, 256), (0, 512)), ((256, 128), (0, 512))]
    """
    return [
        MatrixPiece(some_rows, some_columns) for some_columns in spans(inner, columns) for some_rows in spans(H, rows)
    ]
