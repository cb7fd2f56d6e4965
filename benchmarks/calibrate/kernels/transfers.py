"""DMA: one transfer, the same one again and again, and rows chosen at run time."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from calibrate.kernels import kernel
from calibrate.kernels.tiles import empty, in_hbm

_TILES = 32
_SKIP = nisa.oob_mode.skip


@kernel
def there_and_back(_: Any, columns: int, dge: str, partitions: int = 128, dtype: str = "bfloat16") -> None:
    """Load, exp, store."""
    mode = getattr(nisa.dge_mode, dge)
    loaded, computed = (empty(columns, dtype, partitions=partitions) for _ in range(2))
    nisa.dma_copy(dst=loaded, src=in_hbm(partitions, columns, dtype), dge_mode=mode)
    nisa.activation(dst=computed, op=nl.exp, data=loaded)
    nisa.dma_copy(dst=in_hbm(partitions, columns, dtype), src=computed, dge_mode=mode)


@kernel
def load_and_copy(_: Any, columns: int, dge: str) -> None:
    """A load of bf16 that the Vector Engine waits for."""
    loaded = empty(columns, "bfloat16")
    nisa.dma_copy(dst=loaded, src=in_hbm(128, columns, "bfloat16"), dge_mode=getattr(nisa.dge_mode, dge))
    nisa.tensor_copy(dst=empty(columns, "bfloat16"), src=loaded, engine=nisa.engine.vector)


@kernel
def loads(_: Any, columns: int, dge: str = "unknown", partitions: int = 128, tiles: int = _TILES, dtype: str = "uint8",
          to: str = "") -> None:  # fmt: skip
    """Tiles of rows, each to memory of its own; cast where `to` is another type."""
    source = in_hbm(partitions * tiles, columns, dtype)
    for row in range(0, partitions * tiles, partitions):
        tile = empty(columns, to or dtype, partitions=partitions)
        nisa.dma_copy(dst=tile, src=source[row : row + partitions, :], dge_mode=getattr(nisa.dge_mode, dge))


@kernel
def loads_of_two_queues(_: Any, columns: int) -> None:
    """Tiles of 128 rows of bytes by hardware descriptors, SP and ACT in turn, each to memory of its own."""
    source = in_hbm(128 * _TILES, columns, "uint8")
    for i in range(_TILES):
        asked = (nisa.engine.sync, nisa.engine.scalar)[i % 2]
        nisa.dma_copy(dst=empty(columns, "uint8"), src=source[128 * i : 128 * (i + 1), :],
                      dge_mode=nisa.dge_mode.hwdge, engine=asked)  # fmt: skip


@kernel
def stores(_: Any, columns: int, dge: str = "unknown", tiles: int = 1) -> None:
    """Tiles of 128 rows of fp32."""
    target = in_hbm(128 * tiles, columns)
    tile = empty(columns)
    nisa.memset(dst=tile, value=0.0, engine=nisa.engine.vector)
    for row in range(0, 128 * tiles, 128):
        nisa.dma_copy(dst=target[row : row + 128, :], src=tile, dge_mode=getattr(nisa.dge_mode, dge))


@kernel
def loads_of_short_runs(_: Any, columns: int, runs: int, repeats: int = 4) -> None:
    """bf16 by software descriptors; each partition gets `runs` runs of `columns` that are apart in HBM."""
    source = nl.ndarray((128, runs, 2 * columns), dtype=nl.bfloat16, buffer=nl.shared_hbm)
    for _repeat in range(repeats):
        tile = nl.ndarray((128, runs, columns), dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=source[:, :, 0:columns], dge_mode=nisa.dge_mode.swdge)


@kernel
def loads_at_registers(rows: Any, columns: int, repeats: int = 8) -> None:
    """Blocks [128, columns] of bf16, each where a register says that a load has filled."""
    source = nl.ndarray((repeats, 128, columns), dtype=nl.bfloat16, buffer=nl.shared_hbm)
    for i in range(repeats):
        register = nisa.register_alloc()
        nisa.register_load(register, rows[i : i + 1, :])
        tile = empty(columns, "bfloat16")
        nisa.dma_copy(dst=tile, src=source.select(0, register), dge_mode=nisa.dge_mode.hwdge)


@kernel
def gathers(rows: Any, columns: int, dtype: str = "float32", out_of_range: bool = False, repeats: int = 32) -> None:
    """128 rows of a table by an index a partition, to one of eight tiles; or none, as the table has but one row."""
    table = in_hbm(1 if out_of_range else 128, columns, dtype)
    index = _index(rows, 1 if out_of_range else 0)
    tiles = [empty(columns, dtype) for _ in range(8)]
    for i in range(repeats):
        nisa.dma_copy(dst=tiles[i % 8], src=_rows_of(table, index), oob_mode=_SKIP)


@kernel
def scatters(rows: Any, columns: int, dtype: str = "int32", repeats: int = 16) -> None:
    """128 rows of a table, each time others."""
    table, tile = in_hbm(128 * repeats, columns, dtype), empty(columns, dtype)
    indices = [_index(rows, 128 * i) for i in range(repeats)]
    nisa.memset(dst=tile, value=0, engine=nisa.engine.vector)
    for index in indices:
        nisa.dma_copy(dst=_rows_of(table, index), src=tile, oob_mode=_SKIP)


@kernel
def scatters_with_sums(rows: Any, columns: int, repeats: int = 8) -> None:
    """128 rows of a bf16 table, each with a row added, each time others."""
    table, tile = in_hbm(128 * repeats, columns, "bfloat16"), empty(columns, "bfloat16")
    indices = [_index(rows, 128 * i) for i in range(repeats)]
    nisa.memset(dst=tile, value=0.0, engine=nisa.engine.vector)
    for index in indices:
        target = _rows_of(table, index)
        nisa.dma_compute(dst=target, srcs=[target, tile], reduce_op=nl.add)


def _index(rows: Any, first: int = 0) -> Any:
    """128 row numbers from `first`, one a partition."""
    index = empty(1, "int32")
    nisa.dma_copy(dst=index, src=rows[first : first + 128, :])
    return index


def _rows_of(table: Any, index: Any) -> Any:
    columns = table.shape[1]
    return table.ap(pattern=[[columns, 128], [1, columns]], vector_offset=index, indirect_dim=0)
