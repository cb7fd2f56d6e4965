# SPDX-License-Identifier: Apache-2.0
"""Scales of blocks of fp8 weights, on the partitions that hold the rows of the blocks.

Codes times scales, rounded to the compute dtype, are what is multiplied. Scaling the sums of each block instead would
round nothing, but the Vector Engine would pass over all tokens for every 128 rows, longer than the PE multiplies them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from math import prod
from typing import NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.converted_pieces import TURNS
from nkimoe.kernels.stages.expert_vectors import of_expert
from nkimoe.kernels.stages.weight_pieces import MatrixPiece
from nkimoe.kernels.tensor import IndexTile, Shape, Tensor
from nkimoe.planning.quantization import Matrix
from nkimoe.planning.scale_blocks import BLOCK_COPIES
from nkimoe.planning.shares import Share
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, Tiling, ceil_div, spans

LoadScales = Callable[[Tensor, IndexTile], None]
"""(dst, expert): start to load the scales of an expert; one of E loads nothing."""
Runs = Callable[[MatrixPiece], Sequence[tuple[Span, int]]]
"""The columns of a piece that share a column of blocks: where they are in the piece, and which of the loaded ones."""


class BlockScales:
    """Scales of the expert at hand, fp32 [128, selectors, matrices, columns of blocks]; the next one's wait beside.

    A row of blocks arrives on a partition. A matmul with a selector, [rows of blocks, 128] of zeros and ones, puts it
    on the partitions of its rows, bits as they were.

    Args:
        load: what fetches them.
        shape: (rows of blocks, matrices, columns of blocks) that it fetches.
        selectors: for each `tiles_alike` tiles of 128 rows of the weights, which partition is in which row of blocks.
        runs: which of the columns that are fetched the columns of a piece belong to.
    """

    def __init__(self, load: LoadScales, shape: Shape, selectors: list[Tensor], tiles_alike: int, runs: Runs) -> None:
        self._load, self._selectors, self._tiles_alike, self._runs = load, selectors, tiles_alike, runs
        self._arrived: Tensor = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        self._spread: Tensor = nl.ndarray((PARTITIONS, len(selectors), *shape[1:]), dtype=nl.float32, buffer=nl.sbuf)

    def load(self, expert: IndexTile) -> None:
        """Their rows, each from one place in HBM."""
        self._load(self._arrived, expert)

    def turn(self) -> None:
        """Spread what arrived, as many tiles as a PSUM bank holds at a time."""
        shape = tuple(self._arrived.shape[1:])
        for some in spans(len(self._selectors), PSUM_COLUMNS // prod(shape)):
            bank = nl.ndarray((PARTITIONS, some.size, *shape), dtype=nl.float32, buffer=nl.psum)
            for n, selector in enumerate(self._selectors[some.slice]):
                nisa.nc_matmul(
                    dst=bank[:, n], stationary=selector, moving=self._arrived, is_stationary_onezero=True,
                    accumulate=False,
                )  # fmt: skip
            nisa.tensor_copy(dst=self._spread[:, some.slice], src=bank)

    def convert(self, dst: Tensor, src: Tensor, piece: MatrixPiece) -> None:
        """dst = src times the scales; engines take turns, each with what shares a scale a partition."""
        for n, (index, factor) in enumerate(self._parts(dst, piece)):
            nisa.tensor_scalar(
                dst=dst[index], data=src[index], op0=nl.multiply, operand0=factor, engine=TURNS[n % len(TURNS)]
            )

    def _parts(self, tile: Tensor, piece: MatrixPiece) -> list[tuple[tuple[slice | int, ...], Tensor]]:
        """What shares a scale a partition: the places of it in [128, tiles, (matrices,) columns], and the scales."""
        first, matrices = piece.rows.start // PARTITIONS, self._spread.shape[2]
        return [
            (
                (slice(0, PARTITIONS), alike.slice, *([m] if len(tile.shape) == 4 else []), own.slice),
                self._spread[:, (first + alike.start) // self._tiles_alike, m, block : block + 1],
            )
            for alike in spans(piece.tiles, self._tiles_alike)
            for m in range(matrices)
            for own, block in self._runs(piece)
        ]


def column_runs(columns: Span, inside: int, size: int) -> list[tuple[Span, int]]:
    """The columns of a piece that share a column of blocks: where they are in the piece, and which one.

    >>> column_runs(Span(128, 128), 64, 128)
    [(Span(start=0, size=64), 1), (Span(start=64, size=64), 2)]
    """
    first = inside + columns.start
    blocks = range(first // size, ceil_div(first + columns.size, size))
    edges = [max(block * size - first, 0) for block in blocks] + [columns.size]
    return [(Span(start, stop - start), block) for start, stop, block in zip(edges, edges[1:], blocks, strict=False)]


def gate_up_block_scales(matrix: Matrix, tiling: Tiling, share: Share, projections: tuple[int, ...]) -> BlockScales:
    """Those of gate and up: rows of H in groups (`token_columns.hidden_rows`), this core's columns of I."""
    H, size, group = int(matrix.weight.shape[1]), matrix.block, tiling.row_group
    rows, columns = Span(0, ceil_div(H, size)), _touched(share.inner, size)
    firsts = range(0, H, PARTITIONS * group)
    matrices = Span(projections[0], len(projections))
    selectors = block_selectors(
        _all_rows(matrix), rows.size, len(firsts), lambda tile, p: (firsts[tile] + p * group) // size
    )
    inside = share.inner.start - columns.start * size
    return _of_matrix(matrix, _Blocks(rows, matrices, columns), selectors, group, inside)


def down_block_scales(matrix: Matrix, share: Share) -> BlockScales:
    """Those of down: this core's rows of I, which may start inside a block, all columns of H."""
    size, own = matrix.block, share.inner
    rows, columns = _touched(own, size), Span(0, ceil_div(int(matrix.weight.shape[2]), size))

    def row_of(tile: int, p: int) -> int:
        return (min(own.start + tile * PARTITIONS + p, own.stop - 1)) // size - rows.start

    selectors = block_selectors(_all_rows(matrix), rows.size, ceil_div(own.size, PARTITIONS), row_of)
    return _of_matrix(matrix, _Blocks(rows, Span(0, 1), columns), selectors, 1, 0)


class _Blocks(NamedTuple):
    """The blocks of a matrix that a core works with: rows, which of gate and up (0 of down), columns."""

    rows: Span
    matrices: Span
    columns: Span


def _of_matrix(matrix: Matrix, blocks: _Blocks, selectors: list[Tensor], tiles_alike: int, inside: int) -> BlockScales:
    """The scales of `blocks`; `inside`: column 0 of the weights in SBUF, counted from the first column of those."""

    def runs(piece: MatrixPiece) -> list[tuple[Span, int]]:
        return column_runs(piece.columns, inside, matrix.block)

    shape = (blocks.rows.size, blocks.matrices.size, blocks.columns.size)
    return BlockScales(partial(_load, matrix, blocks), shape, selectors, tiles_alike, runs)


def _load(matrix: Matrix, blocks: _Blocks, dst: Tensor, expert: IndexTile) -> None:
    assert matrix.scale is not None, "blocks have scales"
    rows, matrices, columns = blocks
    tensor, copies = matrix.scale.tensor, BLOCK_COPIES if matrix.block > PARTITIONS else 1
    per_row, per_matrix = (prod(int(n) for n in tensor.shape[first:]) for first in (2, 3))
    pattern = [[per_row, rows.size], [per_matrix, matrices.size], [copies, columns.size]]
    offset = rows.start * per_row + matrices.start * per_matrix + columns.start * copies
    nisa.dma_copy(dst=dst, src=of_expert(tensor, pattern, offset, expert), oob_mode=nisa.oob_mode.skip)


def _touched(own: Span, size: int) -> Span:
    """The blocks that these indices are in."""
    first = own.start // size
    return Span(first, ceil_div(own.stop, size) - first)


def _all_rows(matrix: Matrix) -> int:
    """Rows of blocks."""
    assert matrix.scale is not None, "blocks have scales"
    return int(matrix.scale.tensor.shape[1])


def block_selectors(size: int, rows: int, tiles: int, row_of: Callable[[int, int], int]) -> list[Tensor]:
    """For each tile [rows, 128]: one where partition p belongs to row `row_of(tile, p)`.

    Args:
        size: rows of blocks that there are in all.
    """
    identity = nl.shared_identity_matrix(size, dtype=nl.float32)  # shared: one size
    return [_selector(identity[0:rows, :], [row_of(tile, p) for p in range(PARTITIONS)]) for tile in range(tiles)]


def _selector(identity: Tensor, rows: list[int]) -> Tensor:
    """Columns of the identity, repeated: a view where one is, a copy where several are, because the PE loads a
    stationary tile with one step.
    """
    runs = [(row, len(list(run))) for row, run in groupby(rows)]
    if len(runs) == 1:
        return identity[:, rows[0] : rows[0] + 1].broadcast(1, PARTITIONS)
    selector: Tensor = nl.ndarray((identity.shape[0], PARTITIONS), dtype=nl.float32, buffer=nl.sbuf)
    if len({count for _, count in runs}) == 1:
        count = runs[0][1]
        source = identity[:, rows[0] : rows[-1] + 1].expand_dim(2).broadcast(2, count)
        nisa.tensor_copy(dst=selector.reshape((identity.shape[0], len(runs), count)), src=source)
        return selector
    at = 0
    for row, count in runs:
        source = identity[:, row : row + 1].broadcast(1, count)
        nisa.tensor_copy(dst=selector[:, at : at + count], src=source, engine=nisa.engine.gpsimd)
        at += count
    return selector
