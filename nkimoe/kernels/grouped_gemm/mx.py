# SPDX-License-Identifier: Apache-2.0
"""MX weights of a pass, on Trn3: packed elements, and scales of blocks of 32 rows of the contraction."""

from __future__ import annotations

from collections.abc import Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.pieces import PassPieces, load_piece, room_like
from nkimoe.kernels.grouped_gemm.tokens import Operand
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import SCALE_ROWS, MxOperand, cleared, multiply
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, QUADRANT, ceil_div, spans

FOUR = 4  # bytes that are cleared together


class MxRoom:
    """Room for pieces of packed elements, with the scales of each."""

    def __init__(self, request: GemmRequest, count: int) -> None:
        self._weight, self._scale = request.b, request.blocks
        tiles, columns = (int(n) for n in request.b.shape[3:])
        shape = (PARTITIONS, tiles, ceil_div(columns, FOUR) * FOUR)
        self._tiles = [
            MxOperand(data, cleared(shape, nl.uint8)[:, :, 0:columns]) for data in room_like(request.b, count)
        ]

    def of(self, places: list[MatrixPiece]) -> Pieces[MatrixPiece, MxOperand]:
        """Those of some pieces."""
        return Pieces(places, self._tiles[: len(places)], self._load)

    def _load(self, tile: MxOperand, expert: IndexTile, piece: MatrixPiece) -> None:
        """Four rows of scales of each quadrant, then elements."""
        _, _, rows, tiles, columns = self._scale.shape
        first = piece.columns.start // piece.columns.size * rows
        for n, quadrant in enumerate(spans(PARTITIONS, QUADRANT)):
            source = self._scale.ap(
                pattern=[[tiles * columns, SCALE_ROWS], [columns, tiles], [1, columns]],
                offset=(first + n * SCALE_ROWS) * tiles * columns,
                scalar_offset=expert[0:1, :],
                indirect_dim=0,
            )
            dst = tile.scale[quadrant.start : quadrant.start + SCALE_ROWS]
            nisa.dma_copy(dst=dst, src=source, oob_mode=nisa.oob_mode.skip)
        load_piece(self._weight, tile.data, expert, piece)


class MxPassWeights(PassPieces[MxOperand]):
    """The pieces of one pass, packed."""

    def products(
        self, tokens: Operand, now: Part, following: Part | None
    ) -> Iterator[tuple[int, int, tuple[Tensor, ...]]]:
        """(which piece of the pass, which tile of tokens, their products)."""
        width, halves, every = self._plan.pieces.width, self._plan.pieces.halves, slice(None)
        assert isinstance(tokens.data, MxOperand), "of NeighbourColumns"
        for n, (_, weights) in enumerate(self._pieces.visit(now, following)):
            parts = [weights.part(every, every, own.slice) for own in spans(halves * width, width)]
            for tile, slots in enumerate(spans(now.slots, PARTITIONS)):
                data = tokens.data.part(every, every, slots.slice)
                yield n, tile, tuple(_product(data, part) for part in parts)


def _product(tokens: MxOperand, weights: MxOperand) -> Tensor:
    """PSUM [tokens, columns], accumulated over K."""
    shape = tokens.data.shape[2], weights.data.shape[2]
    result: Tensor = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
    for h in range(weights.data.shape[1]):
        multiply(result, tokens.part(slice(None), h, slice(None)), weights.part(slice(None), h, slice(None)), h)
    return result
