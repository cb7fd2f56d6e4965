# SPDX-License-Identifier: Apache-2.0
"""Expert weights of a pass: some pieces of columns, each replaced by the next expert's behind its last use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from nkimoe.kernels.grouped_gemm.blocks import PassRuns, ProductScales, weight_scales
from nkimoe.kernels.grouped_gemm.column_tiles import ColumnTiledSum
from nkimoe.kernels.grouped_gemm.int4 import GroupRoom, Int4Pieces
from nkimoe.kernels.grouped_gemm.mx import MxPassWeights, MxRoom
from nkimoe.kernels.grouped_gemm.pieces import PassPieces, load_piece, room_like
from nkimoe.kernels.grouped_gemm.tokens import Operand
from nkimoe.kernels.stages.converted_pieces import Alone, ConvertedPieces, room_for_values
from nkimoe.kernels.stages.int8.exact_sum import ExactSum
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.operands import MxOperand
from nkimoe.kernels.stages.sums import PsumSum, Sum
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span, spans

Products = tuple[Tensor, ...]
"""[tokens, width], of each half."""
GemmPieces = Pieces[MatrixPiece, Tensor]


SumOf = Callable[[int, int, Operand, int], Sum]
"""(piece of the pass, half, tokens, tile of them): what their products are added to."""


class WeightsInPasses:
    """Room for the pieces of a pass, which passes take over from each other."""

    def __init__(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> None:
        self._plan, self._request = plan, request
        self._mx = MxRoom(request, plan.at_once) if request.is_mx else None
        self._tiles = [] if request.is_mx else room_like(request.b, plan.at_once)
        shape = (PARTITIONS, plan.pieces.rows, plan.pieces.columns)
        self._values = room_for_values(shape, dtype) if request.is_converted else []
        self._groups = None if request.groups is None else GroupRoom(request.groups, plan.at_once)

    def of_pass(self, pieces: Span) -> PassWeights | MxPassWeights:
        """The weights of some pieces."""
        columns, rows = self._plan.pieces.columns, Span(0, self._plan.problem.H)
        places = [MatrixPiece(rows, Span(n * columns, columns)) for n in range(pieces.start, pieces.stop)]
        if self._mx is not None:
            return MxPassWeights(self._plan, self._mx.of(places))
        runs = None if self._request.runs is None else PassRuns(self._request.runs, pieces)
        weights = self._pieces(places, runs)
        return PassWeights(self._plan, weights, self._sum_of(weights, runs))

    def _pieces(self, places: list[MatrixPiece], runs: PassRuns | None) -> GemmPieces:
        tiles, load = self._tiles[: len(places)], partial(load_piece, self._request.b)
        if self._groups is not None:
            return Int4Pieces(places, tiles, load, self._values, self._groups.of(places))
        if not self._values:
            return Pieces(places, tiles, load)
        conversion = Alone() if runs is None else weight_scales(self._request, self._plan, runs)
        return ConvertedPieces(places, tiles, load, self._values, conversion)

    def _sum_of(self, weights: GemmPieces, runs: PassRuns | None) -> SumOf:
        if runs is not None and not self._values:
            return ProductScales(self._request, self._plan, runs, weights.vectors).sum_of
        return self._plain_sum

    def _plain_sum(self, piece: int, half: int, tokens: Operand, tile: int) -> Sum:
        """The same for all products [tokens, width]."""
        options, width, slots = self._request.options, self._plan.pieces.width, tokens.slots_of(tile)
        if options.exact_rows is not None:
            return ExactSum(slots, width, self._plan.problem.H, options.exact_rows)
        if options.row_codes is not None:
            return PsumSum(slots, width, 2)  # fp8 by fp8 at twice the rate
        return PsumSum(slots, width, 1) if slots > PARTITIONS // 2 else ColumnTiledSum(slots, width)


class PassWeights(PassPieces[Tensor]):
    """The pieces of one pass, as numbers.

    Args:
        sum_of: what products are added to.
    """

    def __init__(self, plan: GemmPlan, pieces: GemmPieces, sum_of: SumOf) -> None:
        super().__init__(plan, pieces)
        self._sum_of = sum_of

    def products(self, tokens: Operand, now: Part, following: Part | None) -> Iterator[tuple[int, int, Products]]:
        """(which piece of the pass, which tile of tokens, their products)."""
        columns = tokens.data
        assert not isinstance(columns, MxOperand), "MX weights are `MxPassWeights`"
        for n, (piece, weights) in enumerate(self._pieces.visit(now, following)):
            for tile, own in enumerate(spans(now.slots, PARTITIONS)):
                data = columns[:, :, own.slice]
                sums = (self._sum_of(n, half, tokens, tile) for half in range(self._plan.pieces.halves))
                halves = zip(sums, self._halves(weights), strict=True)
                yield n, tile, tuple(_added(products, data, half, piece.rows) for products, half in halves)

    def _halves(self, weights: Tensor) -> list[Tensor]:
        width, halves = self._plan.pieces.width, self._plan.pieces.halves
        return [weights[:, :, half * width : (half + 1) * width] for half in range(halves)]


def _added(products: Sum, tokens: Tensor, weights: Tensor, rows: Span) -> Tensor:
    products.add(tokens, weights, rows)
    return products.total()
