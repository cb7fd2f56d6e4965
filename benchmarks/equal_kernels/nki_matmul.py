"""The matmuls as NKI kernels, on nkisim. The left operand lies as [K, M], as the Tensor Engine wants it."""

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

import nkisim
from equal_kernels import TILE_K, TILE_M, TILE_N

VERSION = "this repository"
Array = np.ndarray[Any, np.dtype[Any]]


def matmul(left: Array, right: Array) -> Array:
    """left [M, K] @ right [K, N]."""
    return _simulate(_matmul, np.ascontiguousarray(left.T), right)


def grouped_matmul(rows: Array, weights: Array, tile_experts: Array) -> Array:
    """Tile i of rows [tiles * 128, K] times weights[tile_experts[i]] of [E, K, N]."""
    return _simulate(_grouped_matmul, np.ascontiguousarray(rows.T), weights, tile_experts.reshape(1, -1))


def _simulate(kernel: Any, *arrays: Array) -> Array:
    outputs: Array = nkisim.Simulator("trn2", 1, timing=False).run(kernel, *arrays).outputs
    return outputs


@nki.jit
def _matmul(left_t: Any, right: Any) -> Any:
    (K, M), N = left_t.shape, right.shape[1]
    out = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)
    for m in range(0, M, TILE_M):
        for n in range(0, N, TILE_N):
            total = nl.ndarray((TILE_M, TILE_N), dtype=nl.float32, buffer=nl.psum)
            for k in range(0, K, TILE_K):
                stationary = _load(left_t[k : k + TILE_K, m : m + TILE_M], (TILE_K, TILE_M))
                moving = _load(right[k : k + TILE_K, n : n + TILE_N], (TILE_K, TILE_N))
                nisa.nc_matmul(dst=total, stationary=stationary, moving=moving, accumulate=k > 0)
            _store(out[m : m + TILE_M, n : n + TILE_N], total)
    return out


@nki.jit
def _grouped_matmul(rows_t: Any, weights: Any, tile_experts: Any) -> Any:
    (K, M), N = rows_t.shape, weights.shape[2]
    out = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)
    experts = _load(tile_experts, tile_experts.shape, nl.int32)
    for tile in range(M // TILE_M):
        m, expert = tile * TILE_M, experts[:, tile : tile + 1]
        for n in range(0, N, TILE_N):
            total = nl.ndarray((TILE_M, TILE_N), dtype=nl.float32, buffer=nl.psum)
            for k in range(0, K, TILE_K):
                stationary = _load(rows_t[k : k + TILE_K, m : m + TILE_M], (TILE_K, TILE_M))
                columns = weights.ap(
                    pattern=[[N, TILE_K], [1, TILE_N]], offset=k * N + n, scalar_offset=expert, indirect_dim=0
                )
                moving = _load(columns, (TILE_K, TILE_N))
                nisa.nc_matmul(dst=total, stationary=stationary, moving=moving, accumulate=k > 0)
            _store(out[m : m + TILE_M, n : n + TILE_N], total)
    return out


def _load(source: Any, shape: tuple[int, ...], dtype: Any = nl.float32) -> Any:
    tile = nl.ndarray(shape, dtype=dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile


def _store(destination: Any, total: Any) -> None:
    tile = nl.ndarray((TILE_M, TILE_N), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=tile, src=total)
    nisa.dma_copy(dst=destination, src=tile)
