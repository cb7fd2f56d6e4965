"""bf16 products on one core, for operands of 4096 or 2048: with everything reloaded, and blocked.

left_t is [K, M] or left [M, K], right [K, N]; the result is [M, N].
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

P, COLUMNS = 128, 512


@nki.jit
def reloaded(left_t: Any, right: Any, kept: int) -> Any:
    """One tile of the result at a time; its moving operands are loaded for it, stationary ones for `kept` tiles."""
    (K, M), N = left_t.shape, right.shape[1]
    result = nl.ndarray((M, N), dtype=left_t.dtype, buffer=nl.shared_hbm)
    for m in range(0, M, P):
        for n in range(0, N, kept * COLUMNS):
            stationary = [_load(left_t, k, m, P) for k in range(0, K, P)]
            for column in range(n, min(N, n + kept * COLUMNS), COLUMNS):
                moving = [_load(right, k, column, COLUMNS) for k in range(0, K, P)]
                _store_row(result, (m, column), 0, stationary, moving)
    return result


@nki.jit
def blocked(left_t: Any, right: Any, rows: int, columns: int) -> Any:
    """Blocks of `rows` by `columns` of the result over all of K: rows of operands and result in runs that long."""
    (K, M), N = left_t.shape, right.shape[1]
    result = nl.ndarray((M, N), dtype=left_t.dtype, buffer=nl.shared_hbm)
    for n in range(0, N, columns):
        moving = [_load(right, k, n, columns) for k in range(0, K, P)]
        for m in range(0, M, rows):
            stationary = [_load(left_t, k, m, rows) for k in range(0, K, P)]
            for i in range(0, rows, P):
                _store_row(result, (m + i, n), i, stationary, moving)
    return result


def _store_row(result: Any, at: tuple[int, int], i: int, stationary: list[Any], moving: list[Any]) -> None:
    """One row of tiles, with one store."""
    columns = moving[0].shape[1]
    row = nl.ndarray((P, columns), dtype=result.dtype, buffer=nl.sbuf)
    for j in range(0, columns, COLUMNS):
        total = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.psum)
        for left, right in zip(stationary, moving, strict=True):
            nisa.nc_matmul(dst=total, stationary=left[:, i : i + P], moving=right[:, j : j + COLUMNS])
        nisa.tensor_copy(dst=row[:, j : j + COLUMNS], src=total)
    m, n = at
    nisa.dma_copy(dst=result[m : m + P, n : n + columns], src=row)


def _load(matrix: Any, row: int, column: int, width: int) -> Any:
    tile = nl.ndarray((P, width), dtype=matrix.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=matrix[row : row + P, column : column + width])
    return tile
