# SPDX-License-Identifier: Apache-2.0
"""Weights of a grouped GEMM as its kernel loads them.

Peers keep the contraction contiguous, [E, N, K]. The PE contracts over partitions, so weights are turned once, on the
host, and cut so that a piece is one run of HBM, and one of each partition: no transfer is short, whatever N and K.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.ops.expert_arguments import padded, permuted
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces
from nkimoe.planning.shares import MX_BLOCK, QUARTERS
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.weights.host_array import is_torch

SCALES_A_TILE = QUARTERS * PARTITIONS // MX_BLOCK


def packed_weights(
    b: Any, pieces: ColumnPieces, interleaved: bool, partitions: int = PARTITIONS, group: int = 1
) -> Any:
    """[E, pieces, partitions, tiles, halves * width] of [E, N, rows], row r on partition r % partitions.

    Args:
        interleaved: the halves of N are its even and its odd columns, not the first and the second half.
        group: so many neighbouring rows share a partition, in as many tiles; a divisor of the number of tiles.
    """
    E, rows = int(b.shape[0]), int(b.shape[2])
    tiles = -(-rows // partitions)
    by_half = padded(_halves(b, pieces, interleaved), pieces.count * pieces.width, axis=2)
    cut = padded(by_half, tiles * partitions)
    cut = cut.reshape(E, pieces.halves, pieces.count, pieces.width, tiles // group, partitions, group)
    return permuted(cut, (0, 2, 5, 4, 6, 1, 3)).reshape(E, pieces.count, partitions, tiles, pieces.columns)


def packed_columns(vector: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
    """[E, pieces * halves * width] of [E, N], in the same order."""
    return packed_weights(vector[..., None], pieces, interleaved, 1).reshape(int(vector.shape[0]), -1)


def packed_blocks(scale: Any, pieces: ColumnPieces, blocks: list[int]) -> Any:
    """[E, K / 128, all runs] of scales [E, N / 128, K / 128], of zeros where K is padded.

    Args:
        blocks: the column of blocks of each run (`planning.grouped_gemm.column_runs`).
    """
    return padded(permuted(scale[:, blocks], (0, 2, 1)), pieces.rows, axis=1)


def packed_mx(b: Any, scale: Any, pieces: ColumnPieces, interleaved: bool) -> tuple[Any, Any]:
    """Elements of four neighbouring rows, [E, pieces, 128, K / 512, halves * width] of uint16 (two codes a byte) or
    uint32, and codes of scales of eight of them, [E, pieces, 16, K / 512, halves * width] of uint8.
    """
    tiles = pieces.rows // QUARTERS
    elements = as_bytes(b, "uint16" if str(b.dtype).endswith("uint8") else "uint32")
    codes = padded(as_bytes(scale, "uint8"), tiles * SCALES_A_TILE)
    return (
        packed_weights(padded(elements, tiles * PARTITIONS), pieces, interleaved),
        packed_weights(codes, pieces, interleaved, SCALES_A_TILE),
    )


def as_bytes(tensor: Any, dtype: str) -> Any:
    """The same bytes as another type; its size divides that of the last dimension."""
    if is_torch(tensor):
        import torch

        return tensor.contiguous().view(getattr(torch, dtype))
    return np.ascontiguousarray(tensor).view(dtype)


def _halves(b: Any, pieces: ColumnPieces, interleaved: bool) -> Any:
    """[E, halves, columns of the result, rows]."""
    E, N, rows = (int(n) for n in b.shape)
    if interleaved:
        return permuted(b.reshape(E, N // 2, 2, rows), (0, 2, 1, 3))
    return b.reshape(E, pieces.halves, N // pieces.halves, rows)
