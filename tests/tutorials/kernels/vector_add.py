"""Adding two matrices, one tile of at most 128 rows at a time."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

COLUMNS = 2048
"""Widest tile: 8 KiB of fp32 a partition, long enough for efficient DMA."""


@nki.jit
def vector_add(a: Any, b: Any) -> Any:
    """a + b, for any number of rows and columns."""
    rows, columns = a.shape
    out = nl.ndarray((rows, columns), dtype=a.dtype, buffer=nl.shared_hbm)
    for r in range(0, rows, nl.tile_size.pmax):
        for c in range(0, columns, COLUMNS):
            add_tile(out, a, b, slice(r, min(r + nl.tile_size.pmax, rows)), slice(c, min(c + COLUMNS, columns)))
    return out


def add_tile(out: Any, a: Any, b: Any, rows: slice, columns: slice) -> None:
    """out = a + b on one tile: in, add, out."""
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    left = nl.ndarray(shape, dtype=a.dtype, buffer=nl.sbuf)
    right = nl.ndarray(shape, dtype=b.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=left, src=a[rows, columns])
    nisa.dma_copy(dst=right, src=b[rows, columns])
    nisa.tensor_tensor(dst=left, data1=left, data2=right, op=nl.add)
    nisa.dma_copy(dst=out[rows, columns], src=left)
