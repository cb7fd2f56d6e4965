"""Rows by index: what GpSimd takes to describe a gather, a scatter, and a scatter that adds."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from nkisim.fitting import Term
from on_device.probes.probe import Array, Point, Probe, Sizes, ns
from on_device.probes.tiles import PARTITIONS, hand_back, sbuf

TABLE_ROWS = 1024
ROW = 128  # float32: 512 B


def table_and_rows(sizes: Sizes) -> tuple[Array, ...]:
    """A table float32 [1024, columns], and unique rows int32 [128, 1] of which the first `skipped` are none."""
    rows = np.random.default_rng(0).permutation(TABLE_ROWS)[:PARTITIONS].astype(np.int32)
    rows[: int(sizes.get("skipped", 0))] = TABLE_ROWS
    return np.ones((TABLE_ROWS, int(sizes["columns"])), np.float32), rows[:, None]


def _index(rows: Any) -> Any:
    tile = nl.ndarray((PARTITIONS, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=rows, dge_mode=nisa.dge_mode.none)
    return tile


def _at(table: Any, index: Any) -> Any:
    columns = table.shape[1]
    return table.ap(pattern=[[columns, index.shape[0]], [1, columns]], vector_offset=index, indirect_dim=0)


@nki.jit
def gathers(table: Any, rows: Any, count: int, rows_each: int, columns: int, skipped: int) -> Any:
    """`count` gathers of `rows_each` rows into tiles of their own; rows behind the table are skipped."""
    index = _index(rows)
    tiles = [sbuf(columns) for _ in range(count)]
    for tile in tiles:
        nisa.memset(dst=tile, value=0, engine=nisa.engine.vector)
    for tile in tiles:
        nisa.dma_copy(
            dst=tile[0:rows_each, :], src=_at(table, index[0:rows_each, :]), oob_mode=nisa.oob_mode.skip,
            dge_mode=nisa.dge_mode.swdge,
        )  # fmt: skip
    return hand_back(tiles[-1])


def _zeros_in_hbm(table: Any, zero: Any) -> Any:
    """A table of the same shape, each row written."""
    made = nl.ndarray(tuple(table.shape), dtype=table.dtype, buffer=nl.private_hbm)
    for first in range(0, TABLE_ROWS, PARTITIONS):
        nisa.dma_copy(dst=made[first : first + PARTITIONS, :], src=zero, dge_mode=nisa.dge_mode.none)
    return made


def _results(table: Any, count: int, width: int) -> tuple[Any, list[Any]]:
    """A tile of zeros, and tables to write rows of."""
    zero = sbuf(width)
    nisa.memset(dst=zero, value=0, engine=nisa.engine.vector)
    return zero, [_zeros_in_hbm(table, zero) for _ in range(count)]


@nki.jit
def scatters(table: Any, rows: Any, count: int, columns: int) -> Any:
    """`count` scatters of 128 rows, each to a table of its own."""
    index, (tile, tables) = _index(rows), _results(table, count, columns)
    for target in tables:
        nisa.dma_copy(dst=_at(target, index), src=tile, dge_mode=nisa.dge_mode.swdge)
    return hand_back(tile)


@nki.jit
def adding_scatters(table: Any, rows: Any, count: int, columns: int) -> Any:
    """`count` scatters of 128 rows that add, each to a table of its own."""
    index, (tile, tables) = _index(rows), _results(table, count, columns)
    for target in tables:
        there = _at(target, index)
        nisa.dma_compute(dst=there, srcs=[there, tile], reduce_op=nl.add)
    return hand_back(tile)


def _gathers(count: int, rows: int, columns: int = ROW, skipped: int = 0) -> Point:
    sizes = {"count": count, "rows_each": rows, "columns": columns, "skipped": skipped}
    made = Term(count * (rows - skipped), {"dma.indexed_descriptor": 1})
    if columns > ROW:
        made = Term(made.factor * columns * 4, {**made.powers, "dma.indexed_bytes": -1})
    return Point(sizes, (ns(count, "dma.issue_swdge"), made, ns(count * skipped, "dma.skipped_row"), *_last(rows)))


def _last(rows: int) -> tuple[Term, ...]:
    """The bytes of the last gather, which nothing hides; they differ where the rows do."""
    each = rows / 16
    return Term(each * ROW * 4, {"dma.rate": -1}), ns(each, "dma.descriptor")


def _scatters(count: int, each: str) -> Point:
    return Point({"count": count, "columns": ROW}, (ns(count, "dma.issue_swdge"), ns(count * PARTITIONS, each)))


PROBES = (
    Probe(
        "gathers by rows", gathers, table_and_rows, ("dma.indexed_descriptor",),
        "the time of one more gather of 128 rows of 512 B, less one of 16 rows",
        tuple(_gathers(count, rows) for rows in (16, PARTITIONS) for count in (16, 96)),
    ),
    Probe(
        "gathers by bytes", gathers, table_and_rows, ("dma.indexed_bytes",),
        "bytes of a row over the descriptors that one more gather of rows of 4 KiB takes; 4096 means as much or more",
        tuple(_gathers(count, PARTITIONS, 1024) for count in (4, 16)),
    ),
    Probe(
        "gathers with skipped rows", gathers, table_and_rows, ("dma.skipped_row",),
        "the time of one more gather of 128 rows, 112 of them skipped",
        tuple(_gathers(count, PARTITIONS, skipped=112) for count in (16, 96)),
    ),
    Probe(
        "scatters", scatters, table_and_rows, ("dma.indexed_descriptor",),
        "the time of one more scatter of 128 rows of 512 B",
        tuple(_scatters(count, "dma.indexed_descriptor") for count in (4, 16)),
    ),
    Probe(
        "scatters that add", adding_scatters, table_and_rows, ("dma.accumulated_descriptor",),
        "the time of one more adding scatter of 128 rows of 512 B",
        tuple(_scatters(count, "dma.accumulated_descriptor") for count in (4, 16)),
    ),
)  # fmt: skip
