"""The four steps of the matmul tutorial: the same product, with ever fewer bytes moved.

left_t is [K, M], right [K, N], both fp32 in HBM; the result is [M, N].
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

P, COLUMNS = 128, 512


@nki.jit
def load_for_each_matmul(left_t: Any, right: Any) -> Any:
    """Both operands of each matmul are loaded for it."""
    (K, M), N = left_t.shape, right.shape[1]
    result = _result(M, N)
    for m in range(0, M, P):
        for n in range(0, N, COLUMNS):
            total = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.psum)
            for k in range(0, K, P):
                stationary, moving = _load(left_t, k, m, P), _load(right, k, n, COLUMNS)
                nisa.nc_matmul(dst=total, stationary=stationary, moving=moving)
            _store(result, m, n, total)
    return result


@nki.jit
def load_columns(left_t: Any, right: Any) -> Any:
    """A column of tiles of each operand is loaded before it is used."""
    (K, M), N = left_t.shape, right.shape[1]
    result = _result(M, N)
    for m in range(0, M, P):
        left_tiles = [_load(left_t, k, m, P) for k in range(0, K, P)]
        for n in range(0, N, COLUMNS):
            right_tiles = [_load(right, k, n, COLUMNS) for k in range(0, K, P)]
            _product(result, m, n, left_tiles, right_tiles)
    return result


@nki.jit
def load_blocks_of_columns(left_t: Any, right: Any) -> Any:
    """Two columns of tiles of each operand at a time."""
    (K, M), N = left_t.shape, right.shape[1]
    result = _result(M, N)
    for m in range(0, M, 2 * P):
        left_columns = [[_load(left_t, k, m + b * P, P) for k in range(0, K, P)] for b in range(2)]
        for n in range(0, N, 2 * COLUMNS):
            right_columns = [[_load(right, k, n + b * COLUMNS, COLUMNS) for k in range(0, K, P)] for b in range(2)]
            for i, left_tiles in enumerate(left_columns):
                for j, right_tiles in enumerate(right_columns):
                    _product(result, m + i * P, n + j * COLUMNS, left_tiles, right_tiles)
    return result


@nki.jit
def load_blocks_of_all_dimensions(left_t: Any, right: Any) -> Any:
    """Blocks of 1024 in K, 2048 in M and 1024 in N; partial sums stay in SBUF."""
    (K, M), N = left_t.shape, right.shape[1]
    in_k, in_m, in_n = 8, 16, 2
    result = _result(M, N)
    for n in range(0, N, in_n * COLUMNS):
        sums = {(m, j): _zeros() for m in range(0, M, P) for j in range(in_n)}
        for k in range(0, K, in_k * P):
            right_rows = [_load(right, k + b * P, n, in_n * COLUMNS) for b in range(in_k)]
            for m in range(0, M, in_m * P):
                left_rows = [_load(left_t, k + b * P, m, in_m * P) for b in range(in_k)]
                for j in range(in_n):
                    for i in range(in_m):
                        _add_product(sums[m + i * P, j], left_rows, i * P, right_rows, j * COLUMNS)
        for m in range(0, M, P):
            _store_joined(result, m, n, [sums[m, j] for j in range(in_n)])
    return result


def _result(M: int, N: int) -> Any:
    return nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)


def _load(matrix: Any, row: int, column: int, width: int) -> Any:
    tile = nl.ndarray((P, width), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=matrix[row : row + P, column : column + width])
    return tile


def _zeros() -> Any:
    tile = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=0.0)
    return tile


def _product(result: Any, m: int, n: int, left_tiles: list[Any], right_tiles: list[Any]) -> None:
    total = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.psum)
    for stationary, moving in zip(left_tiles, right_tiles, strict=True):
        nisa.nc_matmul(dst=total, stationary=stationary, moving=moving)
    _store(result, m, n, total)


def _add_product(total: Any, left_rows: list[Any], m: int, right_rows: list[Any], n: int) -> None:
    part = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.psum)
    for left, right in zip(left_rows, right_rows, strict=True):
        nisa.nc_matmul(dst=part, stationary=left[:, m : m + P], moving=right[:, n : n + COLUMNS])
    nisa.tensor_tensor(dst=total, data1=total, data2=part, op=nl.add)


def _store(result: Any, m: int, n: int, total: Any) -> None:
    tile = nl.ndarray((P, COLUMNS), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=tile, src=total)
    nisa.dma_copy(dst=result[m : m + P, n : n + COLUMNS], src=tile)


def _store_joined(result: Any, m: int, n: int, tiles: list[Any]) -> None:
    width = len(tiles) * COLUMNS
    joined = nl.ndarray((P, width), dtype=nl.float32, buffer=nl.sbuf)
    for j, tile in enumerate(tiles):
        nisa.tensor_copy(dst=joined[:, j * COLUMNS : (j + 1) * COLUMNS], src=tile)
    nisa.dma_copy(dst=result[m : m + P, n : n + width], src=joined)
