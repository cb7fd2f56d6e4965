"""Matrix multiplication in tiles of 128 x 128 x 512, twice: loading as it goes, and loading each operand once."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

K_TILE = nl.tile_size.pmax
M_TILE = nl.tile_size.gemm_stationary_fmax
N_TILE = nl.tile_size.gemm_moving_fmax


@nki.jit
def matmul_loading_as_it_goes(left_t: Any, right: Any) -> Any:
    """left_t.T @ right in fp32, for left_t [K, M] and right [K, N]. Every tile is loaded where it is used."""
    (K, M), N = left_t.shape, right.shape[1]
    out = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)
    for m in tiles(M, M_TILE):
        for n in tiles(N, N_TILE):
            total = nl.ndarray((size(m), size(n)), dtype=nl.float32, buffer=nl.psum)
            for k in tiles(K, K_TILE):
                stationary, moving = load(left_t, k, m), load(right, k, n)
                nisa.nc_matmul(dst=total, stationary=stationary, moving=moving, accumulate=k.start > 0)
            store(out, m, n, total)
    return out


@nki.jit
def matmul_loading_once(left_t: Any, right: Any) -> Any:
    """The same product. A stripe of columns of `right` is loaded once a stripe, `left_t` once altogether."""
    (K, M), N = left_t.shape, right.shape[1]
    out = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)
    lefts = [load(left_t, k, slice(0, M)) for k in tiles(K, K_TILE)]
    for n in tiles(N, N_TILE):
        rights = [load(right, k, n) for k in tiles(K, K_TILE)]
        for m in tiles(M, M_TILE):
            total = nl.ndarray((size(m), size(n)), dtype=nl.float32, buffer=nl.psum)
            for i, (left, moving) in enumerate(zip(lefts, rights, strict=True)):
                nisa.nc_matmul(dst=total, stationary=left[:, m], moving=moving, accumulate=i > 0)
            store(out, m, n, total)
    return out


def tiles(total: int, step: int) -> list[slice]:
    """0..total in steps; the last tile may be smaller."""
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]


def size(part: slice) -> int:
    """Elements of a slice with bounds."""
    return int(part.stop - part.start)


def load(source: Any, rows: slice, columns: slice) -> Any:
    """An SBUF tile with source[rows, columns]."""
    tile = nl.ndarray((size(rows), size(columns)), dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source[rows, columns])
    return tile


def store(out: Any, rows: slice, columns: slice, total: Any) -> None:
    """out[rows, columns] = total. DMA cannot read PSUM, so the tile passes through SBUF."""
    tile = nl.ndarray(total.shape, dtype=out.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=tile, src=total)
    nisa.dma_copy(dst=out[rows, columns], src=tile)
