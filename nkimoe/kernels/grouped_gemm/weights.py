"""Expert weights of a pass: some pieces of columns, each replaced by the next expert's behind its last use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from nkimoe.kernels.grouped_gemm.int4 import GroupRoom, Int4Pieces
from nkimoe.kernels.grouped_gemm.pieces import load_piece, room_like
from nkimoe.kernels.grouped_gemm.tokens import Operand
from nkimoe.kernels.stages.converted_pieces import Alone, ConvertedPieces, room_for_values
from nkimoe.kernels.stages.expert_vectors import Vectors
from nkimoe.kernels.stages.int8.exact_sum import ExactSum
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.sums import PsumSum, Sum
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan, is_converted
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span

Products = tuple[Tensor, ...]
"""[128 tokens, width], of each half."""
GemmPieces = Pieces[MatrixPiece, Tensor]


class WeightsInPasses:
    """Room for the pieces of a pass, which passes take over from each other."""

    def __init__(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> None:
        self._plan, self._request = plan, request
        self._tiles = room_like(request.b, plan.at_once)
        shape = (PARTITIONS, plan.pieces.rows, plan.pieces.columns)
        self._values = room_for_values(shape, dtype) if is_converted(request) else []
        self._groups = None if request.groups is None else GroupRoom(request.groups, plan.at_once)

    def of_pass(self, pieces: Span) -> PassWeights:
        """The weights of some pieces."""
        columns, rows = self._plan.pieces.columns, Span(0, self._plan.problem.H)
        places = [MatrixPiece(rows, Span(n * columns, columns)) for n in range(pieces.start, pieces.stop)]
        return PassWeights(self._plan, self._pieces(places), self._sum)

    def _pieces(self, places: list[MatrixPiece]) -> GemmPieces:
        tiles, load = self._tiles[: len(places)], partial(load_piece, self._request.b)
        if self._groups is not None:
            return Int4Pieces(places, tiles, load, self._values, self._groups.of(places))
        return (
            ConvertedPieces(places, tiles, load, self._values, Alone()) if self._values else Pieces(places, tiles, load)
        )

    def _sum(self) -> Sum:
        """Of products [tokens, width]."""
        options, width = self._request.options, self._plan.pieces.width
        if options.exact_rows is not None:
            return ExactSum(PARTITIONS, width, self._plan.problem.H, options.exact_rows)
        return PsumSum(PARTITIONS, width, 1 if options.row_codes is None else 2)  # fp8 by fp8 at twice the rate


class PassWeights:
    """The pieces of one pass.

    Attributes:
        vectors: what comes with them.
    """

    def __init__(self, plan: GemmPlan, pieces: GemmPieces, make_sum: Callable[[], Sum]) -> None:
        self._plan, self._pieces, self._make_sum = plan, pieces, make_sum

    @property
    def vectors(self) -> Vectors:
        return self._pieces.vectors

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        self.vectors.fill(part)
        self._pieces.fill(part)

    def products(self, tokens: Operand, now: Part, following: Part | None) -> Iterator[tuple[int, int, Products]]:
        """(which piece of the pass, which tile of tokens, their products)."""
        for n, (piece, weights) in enumerate(self._pieces.visit(now, following)):
            for tile in range(len(tokens.scales)):
                data = tokens.data[:, :, tile * PARTITIONS : (tile + 1) * PARTITIONS]
                yield n, tile, tuple(self._product(data, half, piece) for half in self._halves(weights))

    def _halves(self, weights: Tensor) -> list[Tensor]:
        width, halves = self._plan.pieces.width, self._plan.pieces.halves
        return [weights[:, :, half * width : (half + 1) * width] for half in range(halves)]

    def _product(self, tokens: Tensor, weights: Tensor, piece: MatrixPiece) -> Tensor:
        products = self._make_sum()
        products.add(tokens, weights, piece.rows)
        return products.total()
