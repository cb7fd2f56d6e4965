"""Weights of a grouped GEMM as its kernel loads them.

Peers keep the contraction contiguous, [E, N, K]. The PE contracts over partitions, so weights are turned once, on the
host, and cut so that a piece is one run of HBM, and one of each partition: no transfer is shorter, whatever N and K.
"""

from __future__ import annotations

from typing import Any

from nkimoe.ops.expert_arguments import padded, permuted
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces
from nkimoe.planning.tiling import PARTITIONS


def packed_weights(b: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
    """[E, pieces, 128, K / 128, halves * width] of [E, N, K].

    Args:
        interleaved: the halves of N are its even and its odd columns, not the first and the second half.
    """
    E = int(b.shape[0])
    by_half = padded(_halves(b, pieces, interleaved), pieces.count * pieces.width, axis=2)
    whole = padded(by_half, pieces.rows * PARTITIONS)
    cut = whole.reshape(E, pieces.halves, pieces.count, pieces.width, pieces.rows, PARTITIONS)
    return permuted(cut, (0, 2, 5, 4, 1, 3)).reshape(E, pieces.count, PARTITIONS, pieces.rows, pieces.columns)


def packed_columns(vector: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
    """[E, pieces * halves * width] of [E, N], in the same order."""
    E = int(vector.shape[0])
    by_half = padded(_halves(vector[..., None], pieces, interleaved), pieces.count * pieces.width, axis=2)
    cut = by_half.reshape(E, pieces.halves, pieces.count, pieces.width)
    return permuted(cut, (0, 2, 1, 3)).reshape(E, -1)


def _halves(b: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
    """[E, halves, columns of the result, K]."""
    E, N, K = (int(n) for n in b.shape)
    if interleaved:
        return permuted(b.reshape(E, N // 2, 2, K), (0, 2, 1, 3))
    return b.reshape(E, pieces.halves, N // pieces.halves, K)
