"""Two transposes: inside each partition, which is a choice of strides, and across partitions, which moves data."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def transpose_inside_partitions(x: Any) -> Any:
    """[P, F1, F2] to [P, F2, F1]."""
    P, F1, F2 = x.shape
    out = nl.ndarray((P, F2, F1), dtype=x.dtype, buffer=nl.shared_hbm)
    for start in range(0, P, nl.tile_size.pmax):
        rows = slice(start, min(start + nl.tile_size.pmax, P))
        tile = nl.ndarray((rows.stop - start, F1, F2), dtype=x.dtype, buffer=nl.sbuf)
        turned = nl.ndarray((rows.stop - start, F2, F1), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[rows, :, :])
        nisa.tensor_copy(dst=turned, src=tile.permute((0, 2, 1)))
        nisa.dma_copy(dst=out[rows, :, :], src=turned)
    return out


@nki.jit
def transpose_on_tensor_engine(x: Any) -> Any:
    """[M, N] to [N, M], 128 x 128 at a time, through PSUM."""
    return transpose_in_tiles(x, 128, nl.psum, nisa.engine.tensor)


@nki.jit
def transpose_on_vector_engine(x: Any) -> Any:
    """[M, N] to [N, M], 32 x 32 at a time, within SBUF."""
    return transpose_in_tiles(x, 32, nl.sbuf, nisa.engine.vector)


def transpose_in_tiles(x: Any, side: int, buffer: Any, engine: Any) -> Any:
    """[M, N] to [N, M], each square tile turned by `engine` into `buffer`."""
    M, N = x.shape
    out = nl.ndarray((N, M), dtype=x.dtype, buffer=nl.shared_hbm)
    for m in range(0, M, side):
        for n in range(0, N, side):
            rows, columns = min(side, M - m), min(side, N - n)
            tile = nl.ndarray((rows, columns), dtype=x.dtype, buffer=nl.sbuf)
            turned = nl.ndarray((columns, rows), dtype=x.dtype, buffer=buffer)
            result = nl.ndarray((columns, rows), dtype=x.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=x[m : m + rows, n : n + columns])
            nisa.nc_transpose(dst=turned, data=tile, engine=engine)
            nisa.tensor_copy(dst=result, src=turned)
            nisa.dma_copy(dst=out[n : n + columns, m : m + rows], src=result)
    return out
