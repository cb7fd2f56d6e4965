# SPDX-License-Identifier: Apache-2.0
"""Which columns of a piece share a scale, where weights have one for each block of 128 x 128."""

from __future__ import annotations

from itertools import groupby

from nkimoe.planning.grouped_gemm.pieces import ColumnPieces
from nkimoe.planning.tiling import PARTITIONS, Span

BLOCK = PARTITIONS  # rows, and columns, of a block
Runs = tuple[Span, ...]
"""Neighbouring columns of a piece [halves * width] that share a scale; those of padding share that before them."""


def column_runs(pieces: ColumnPieces, columns: int, interleaved: bool) -> list[list[tuple[Span, int]]]:
    """For each piece its runs, each with the column of blocks it is of.

    Args:
        columns: of the result, without those of padding.
        interleaved: the halves of the product are its even and its odd columns, not the first and the second half.

    >>> column_runs(ColumnPieces(count=2, width=160, halves=1, rows=1), 300, False)[1]
    [(Span(start=0, size=96), 1), (Span(start=96, size=64), 2)]
    >>> column_runs(ColumnPieces(count=1, width=70, halves=2, rows=1), 70, True)[0][2:]
    [(Span(start=70, size=64), 0), (Span(start=134, size=6), 1)]
    """
    return [
        [run for half in range(pieces.halves) for run in _runs(pieces, n, half, columns, interleaved)]
        for n in range(pieces.count)
    ]


def _runs(pieces: ColumnPieces, n: int, half: int, columns: int, interleaved: bool) -> list[tuple[Span, int]]:
    """Of one half of piece n."""
    own = (min(c, columns - 1) for c in range(n * pieces.width, (n + 1) * pieces.width))
    blocks = ((2 * c + half if interleaved else half * columns + c) // BLOCK for c in own)
    runs, at = [], half * pieces.width
    for block, members in groupby(blocks):
        size = len(list(members))
        runs.append((Span(at, size), block))
        at += size
    return runs
