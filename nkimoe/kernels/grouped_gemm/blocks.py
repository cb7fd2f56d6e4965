# SPDX-License-Identifier: Apache-2.0
"""fp8 weights with a scale for each block of 128 x 128.

Where rows of a are 16-bit numbers, codes times scales, rounded to their type, are what is multiplied, as in `moe_cte`
(`stages/block_scales.py`). Where they are codes, too, products of each 128 rows are multiplied by both scales and then
added, in fp32: nothing is rounded, and other engines pass over all that the PE multiplies, which takes them longer.
"""

from __future__ import annotations

from itertools import accumulate

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.tokens import Operand
from nkimoe.kernels.stages.block_scales import BlockScales, block_selectors
from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.stages.expert_vectors import Vector, Vectors, of_expert
from nkimoe.kernels.stages.sums import Sum
from nkimoe.kernels.stages.weight_pieces import MatrixPiece
from nkimoe.kernels.tensor import IndexTile, Tensor
from nkimoe.planning.grouped_gemm.column_runs import Runs
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span


class PassRuns:
    """The runs of columns of a pass, numbered through its pieces.

    Attributes:
        all: of them, where they are among the runs of all pieces.
        pieces: of the pass.
    """

    def __init__(self, runs: tuple[Runs, ...], pieces: Span) -> None:
        firsts = [0, *accumulate(len(each) for each in runs)]
        self.all = Span(firsts[pieces.start], firsts[pieces.stop] - firsts[pieces.start])
        self._runs, self._firsts, self.pieces = runs, firsts, pieces

    def of_piece(self, n: int) -> list[tuple[Span, int]]:
        """Columns within piece n of the pass, and the number of the run."""
        piece = self.pieces.start + n
        first = self._firsts[piece] - self.all.start
        return [(own, first + i) for i, own in enumerate(self._runs[piece])]


def weight_scales(request: GemmRequest, plan: GemmPlan, runs: PassRuns) -> BlockScales:
    """What multiplies the weights of a pass."""
    group, columns = plan.pieces.group, plan.pieces.columns
    rows, each, first = int(request.blocks.shape[1]), int(request.blocks.shape[2]), runs.all.start

    def load(dst: Tensor, expert: IndexTile) -> None:
        source = of_expert(request.blocks, [[each, rows], [1, runs.all.size]], first, expert)
        nisa.dma_copy(dst=dst[:, 0, :], src=source, oob_mode=nisa.oob_mode.skip)

    def runs_of(piece: MatrixPiece) -> list[tuple[Span, int]]:
        return runs.of_piece(piece.columns.start // columns - runs.pieces.start)

    selectors = block_selectors(
        rows, rows, rows // group, lambda tile, p: (tile * PARTITIONS * group + p * group) // PARTITIONS
    )
    return BlockScales(load, (rows, 1, runs.all.size), selectors, group, runs_of)


class ProductScales:
    """What multiplies the products of each 128 rows of a pass.

    Args:
        vectors: they come with these.
    """

    def __init__(self, request: GemmRequest, plan: GemmPlan, runs: PassRuns, vectors: Vectors) -> None:
        self._width, self._runs = plan.pieces.width, runs
        rows, each = int(request.blocks.shape[1]), int(request.blocks.shape[2])
        tile: Tensor = nl.ndarray((PARTITIONS, rows, runs.all.size), dtype=nl.float32, buffer=nl.sbuf)
        pattern = [[0, PARTITIONS], [each, rows], [1, runs.all.size]]

        def load(tile: Tensor, expert: IndexTile) -> None:
            source = of_expert(request.blocks, pattern, runs.all.start, expert)
            nisa.dma_copy(dst=tile, src=source, oob_mode=nisa.oob_mode.skip)

        self._scales = vectors.add(Vector(tile, load)).tile

    def sum_of(self, n: int, half: int, tokens: Operand, tile: int) -> Sum:
        """Of products [tokens, width] of a tile of tokens with one half of piece n."""
        of_rows = tokens.groups[tile]
        own = Span(half * self._width, self._width)
        runs = [(run, number) for run, number in self._runs.of_piece(n) if own.start <= run.start < own.stop]
        first, count = runs[0][1], len(runs)
        slots = of_rows.shape[0]
        factors: Tensor = nl.ndarray((slots, of_rows.shape[1], count), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(
            dst=factors, data1=self._scales[0:slots, :, first : first + count],
            data2=of_rows.expand_dim(2).broadcast(2, count), op=nl.multiply, engine=nisa.engine.gpsimd,
        )  # fmt: skip
        return ScaledSum(self._width, factors, tuple(Span(run.start - own.start, run.size) for run, _ in runs))


class ScaledSum:
    """A sum [tokens, columns] in fp32 of the products of each tile of 128 rows, times their factors.

    The Vector Engine multiplies and adds; of every other tile the Scalar Engine multiplies and GpSimd adds, beside it.

    Args:
        factors: fp32 [tokens, tiles, runs].
        runs: of the columns.
    """

    def __init__(self, columns: int, factors: Tensor, runs: Runs) -> None:
        self._factors, self._runs = factors, runs
        self._total, self._beside = (
            nl.ndarray((factors.shape[0], columns), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2)
        )

    def add(self, stationary: Tensor, moving: Tensor, rows: Span) -> None:
        for n in range(rows.size // PARTITIONS):
            tile, one = rows.start // PARTITIONS + n, slice(n, n + 1)
            products: Tensor = nl.ndarray(tuple(self._total.shape), dtype=nl.float32, buffer=nl.psum)
            contract(products, stationary[:, one, :], moving[:, one, :], Span(0, PARTITIONS), 1)
            if tile % 2:
                self._add_beside(products, tile)
            else:
                self._add(products, tile)

    def total(self) -> Tensor:
        if self._factors.shape[1] > 1:
            nisa.tensor_tensor(dst=self._total, data1=self._total, data2=self._beside, op=nl.add)
        return self._total

    def _add(self, products: Tensor, tile: int) -> None:
        for own, factor in self._parts(tile):
            total, data = self._total[:, own], products[:, own]
            if tile == 0:
                nisa.tensor_scalar(dst=total, data=data, op0=nl.multiply, operand0=factor)
            else:
                nisa.scalar_tensor_tensor(
                    dst=total, data=data, op0=nl.multiply, operand0=factor, op1=nl.add, operand1=total
                )

    def _add_beside(self, products: Tensor, tile: int) -> None:
        is_first = tile == 1
        scaled: Tensor = (
            self._beside if is_first else nl.ndarray(tuple(products.shape), dtype=nl.float32, buffer=nl.sbuf)
        )
        for own, factor in self._parts(tile):
            nisa.activation(dst=scaled[:, own], op=nl.copy, data=products[:, own], scale=factor)
        if not is_first:
            nisa.tensor_tensor(dst=self._beside, data1=self._beside, data2=scaled, op=nl.add, engine=nisa.engine.gpsimd)

    def _parts(self, tile: int) -> list[tuple[slice, Tensor]]:
        """The columns of each run, and their factor."""
        return [(run.slice, self._factors[:, tile, r : r + 1]) for r, run in enumerate(self._runs)]
