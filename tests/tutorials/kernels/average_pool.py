"""Average pooling of images [C, H, W]: the pooling windows are two extra dimensions of an access pattern."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def average_pool(images: Any, pool: int) -> Any:
    """[C, H // pool, W // pool] means of pool x pool windows; rows and columns left over are dropped."""
    C, H, W = images.shape
    rows, columns = H // pool, W // pool
    out = nl.ndarray((C, rows, columns), dtype=images.dtype, buffer=nl.shared_hbm)
    for start in range(0, C, nl.tile_size.pmax):
        channels = min(nl.tile_size.pmax, C - start)
        tile = nl.ndarray((channels, H, W), dtype=images.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=images[start : start + channels, :, :])
        windows = tile.ap(
            pattern=[[H * W, channels], [pool * W, rows], [pool, columns], [W, pool], [1, pool]],
        )
        means = nl.ndarray((channels, rows, columns), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=means, op=nl.add, data=windows, axis=(3, 4))
        result = nl.ndarray((channels, rows, columns), dtype=images.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=result, data=means, op0=nl.multiply, operand0=1.0 / pool**2)
        nisa.dma_copy(dst=out[start : start + channels, :, :], src=result)
    return out
