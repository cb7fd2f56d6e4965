"""Expert weights of a pass: some pieces of columns, each replaced by the next expert's behind its last use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.tokens import Operand
from nkimoe.kernels.stages.converted_pieces import ConvertedPieces, room_for_values
from nkimoe.kernels.stages.expert_vectors import Vectors
from nkimoe.kernels.stages.int8.exact_sum import ExactSum
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.sums import PsumSum, Sum
from nkimoe.kernels.stages.weight_pieces import MatrixPiece, Pieces
from nkimoe.kernels.tensor import DType, IndexTile, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan, is_converted
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span

Products = tuple[Tensor, ...]
"""[128 tokens, width], of each half."""


class GemmWeights:
    """Room for the pieces of a pass, which passes take over from each other."""

    def __init__(self, request: GemmRequest, plan: GemmPlan, dtype: DType) -> None:
        self._b, self._plan, self._request = request.b, plan, request
        pieces = plan.pieces
        shape, stored = (PARTITIONS, pieces.rows, pieces.columns), request.b.dtype
        self._tiles: list[Tensor] = [nl.ndarray(shape, dtype=stored, buffer=nl.sbuf) for _ in range(plan.at_once)]
        self._values = room_for_values(self._tiles, dtype) if is_converted(request) else []

    def of_pass(self, pieces: Span) -> PassWeights:
        """The weights of some pieces."""
        columns, rows = self._plan.pieces.columns, Span(0, self._plan.problem.H)
        places = [MatrixPiece(rows, Span(n * columns, columns)) for n in range(pieces.start, pieces.stop)]
        tiles = self._tiles[: len(places)]
        if self._values:
            return PassWeights(self._plan, ConvertedPieces(places, tiles, self._load, self._values), self._sum)
        return PassWeights(self._plan, Pieces(places, tiles, self._load), self._sum)

    def _load(self, tile: Tensor, expert: IndexTile, piece: MatrixPiece) -> None:
        """A piece is one run of HBM, and of each partition."""
        per_partition = piece.columns.size * self._plan.pieces.rows
        source = self._b.ap(
            pattern=[[per_partition, PARTITIONS], [1, per_partition]],
            offset=piece.columns.start // piece.columns.size * PARTITIONS * per_partition,
            scalar_offset=expert[0:1, :],
            indirect_dim=0,
        )
        nisa.dma_copy(dst=tile.reshape((PARTITIONS, per_partition)), src=source, oob_mode=nisa.oob_mode.skip)

    def _sum(self) -> Sum:
        """Of products [tokens, width]."""
        options, width = self._request.options, self._plan.pieces.width
        if options.exact_rows is None:
            return PsumSum(PARTITIONS, width, 1)
        return ExactSum(PARTITIONS, width, self._plan.problem.H, options.exact_rows)


class PassWeights:
    """The pieces of one pass.

    Attributes:
        vectors: what comes with them.
    """

    def __init__(self, plan: GemmPlan, pieces: Pieces[MatrixPiece, Tensor], make_sum: Callable[[], Sum]) -> None:
        self._plan, self._pieces, self._make_sum = plan, pieces, make_sum

    @property
    def vectors(self) -> Vectors:
        return self._pieces.vectors

    def fill(self, part: Part) -> None:
        """Load what the first part needs."""
        self.vectors.fill(part)
        self._pieces.fill(part)

    def products(self, tokens: Operand, now: Part, following: Part | None) -> Iterator[tuple[int, Products]]:
        """(which piece of the pass, its products)."""
        sizes = self._plan.pieces
        for n, (piece, tile) in enumerate(self._pieces.visit(now, following)):
            sums = [self._make_sum() for _ in range(sizes.halves)]
            for half, one in enumerate(sums):
                one.add(tokens.data, tile[:, :, half * sizes.width : (half + 1) * sizes.width], piece.rows)
            yield n, tuple(one.total() for one in sums)
