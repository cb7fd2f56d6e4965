"""Rows chosen at run time: one index a partition."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

SKIP = nisa.oob_mode.skip


@nki.jit
def gather_rows(table: Any, ids: Any) -> Any:
    """table[ids], for ids [M, 1] int32; rows whose id is out of bounds are zero."""
    M, F = ids.shape[0], table.shape[1]
    out = nl.ndarray((M, F), dtype=table.dtype, buffer=nl.shared_hbm)
    for start in range(0, M, nl.tile_size.pmax):
        count = min(nl.tile_size.pmax, M - start)
        rows = nl.ndarray((count, F), dtype=table.dtype, buffer=nl.sbuf)
        nisa.memset(dst=rows, value=0)
        nisa.dma_copy(dst=rows, src=rows_of(table, load_ids(ids, start, count)), oob_mode=SKIP)
        nisa.dma_copy(dst=out[start : start + count, :], src=rows)
    return out


@nki.jit
def scatter_rows(values: Any, ids: Any, rows: int) -> Any:
    """An array of `rows` rows, zero except out[ids] = values; ids out of bounds write nothing. Ids are unique."""
    M, F = values.shape
    out = nl.zeros((rows, F), dtype=values.dtype, buffer=nl.shared_hbm)
    for start in range(0, M, nl.tile_size.pmax):
        count = min(nl.tile_size.pmax, M - start)
        tile = nl.ndarray((count, F), dtype=values.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=values[start : start + count, :])
        nisa.dma_copy(dst=rows_of(out, load_ids(ids, start, count)), src=tile, oob_mode=SKIP)
    return out


def load_ids(ids: Any, start: int, count: int) -> Any:
    """ids[start : start + count] on as many partitions."""
    tile = nl.ndarray((count, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=ids[start : start + count, :])
    return tile


def rows_of(table: Any, index: Any) -> Any:
    """Row index[p] of an HBM table for each partition p."""
    F = table.shape[1]
    return table.ap(pattern=[[F, index.shape[0]], [1, F]], vector_offset=index, indirect_dim=0)
