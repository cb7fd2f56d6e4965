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

ROW = 128  # float32: 512 B


def table_and_rows(sizes: Sizes, table_rows: int = 1024) -> tuple[Array, ...]:
    """A table float32 [table_rows, columns], and unique rows int32 [128, 1] of which the first `skipped` are none."""
    rows = np.random.default_rng(0).permutation(table_rows)[:PARTITIONS].astype(np.int32)
    rows[: int(sizes.get("skipped", 0))] = table_rows
    return np.ones((table_rows, int(sizes["columns"])), np.float32), rows[:, None]


def small_table_and_rows(sizes: Sizes) -> tuple[Array, ...]:
    """A table of 128 rows, which is zeroed while the rows of the one before are added to."""
    return table_and_rows(sizes, PARTITIONS)


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


def _tables(table: Any, count: int) -> list[Any]:
    """Tables of the same shape, to write rows of."""
    return [nl.ndarray(tuple(table.shape), dtype=table.dtype, buffer=nl.private_hbm) for _ in range(count)]


def _zeros(columns: int) -> Any:
    tile = sbuf(columns)
    nisa.memset(dst=tile, value=0, engine=nisa.engine.vector)
    return tile


@nki.jit
def scatters(table: Any, rows: Any, count: int, rows_each: int, columns: int) -> Any:
    """`count` scatters of `rows_each` rows, each to a table of its own."""
    index, tile = _index(rows), _zeros(columns)
    for target in _tables(table, count):
        there = _at(target, index[0:rows_each, :])
        nisa.dma_copy(dst=there, src=tile[0:rows_each, :], dge_mode=nisa.dge_mode.swdge)
    return hand_back(tile)


@nki.jit
def adding_scatters(table: Any, rows: Any, count: int, rows_each: int, columns: int) -> Any:
    """`count` scatters of `rows_each` rows that add, each to a table of zeros of its own."""
    index, tile, tables = _index(rows), _zeros(columns), _tables(table, count)
    for target in tables:
        nisa.dma_copy(dst=target, src=tile, dge_mode=nisa.dge_mode.none)
    for target in tables:
        there = _at(target, index[0:rows_each, :])
        nisa.dma_compute(dst=there, srcs=[there, tile[0:rows_each, :]], reduce_op=nl.add)
    return hand_back(tile)


def _gathers(count: int, rows: int, columns: int = ROW, skipped: int = 0) -> Point:
    sizes = {"count": count, "rows_each": rows, "columns": columns, "skipped": skipped}
    made = Term(count * (rows - skipped), {"dma.indexed_descriptor": 1})
    if columns > ROW:
        made = Term(made.factor * columns * 4, {**made.powers, "dma.indexed_bytes": -1})
    return Point(sizes, (ns(count, "dma.issue_swdge"), made, ns(count * skipped, "dma.skipped_row"), *_last(rows)))


def _last(rows: int, shared: dict[str, int] | None = None, factor: int = 1) -> tuple[Term, ...]:
    """The bytes of the last transfer, which nothing hides; they differ where the rows do."""
    each, powers = factor * rows / 16, shared or {}
    return Term(each * ROW * 4, {"dma.rate": -1, **powers}), Term(each, {"dma.descriptor": 1, **powers})


def _by_rows(each: str, *last: Any) -> tuple[Point, ...]:
    """4 and 16 scatters of 16 and of 128 rows of 512 B."""
    return tuple(
        Point(point.sizes, (*point.terms, *_last(rows, *last)))
        for rows in (16, PARTITIONS)
        for point in (_scatters(count, each, rows) for count in (4, 16))
    )


def _scatters(count: int, each: str, rows: int = PARTITIONS, columns: int = ROW) -> Point:
    made = Term(count * rows, {each: 1})
    if columns > ROW:
        made = Term(made.factor * columns * 4, {**made.powers, "dma.indexed_bytes": -1})
    return Point({"count": count, "rows_each": rows, "columns": columns}, (ns(count, "dma.issue_swdge"), made))


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
        "scatters by rows", scatters, table_and_rows, ("dma.indexed_descriptor",),
        "the time of one more scatter of 128 rows of 512 B, less one of 16 rows", _by_rows("dma.indexed_descriptor"),
    ),
    Probe(
        "scatters by bytes", scatters, table_and_rows, ("dma.indexed_bytes",),
        "bytes of a row over the descriptors that one more scatter of rows of 4 KiB takes",
        tuple(_scatters(count, "dma.indexed_descriptor", columns=1024) for count in (4, 16)),
    ),
    Probe(
        "adding scatters by rows", adding_scatters, small_table_and_rows, ("dma.accumulated_descriptor",),
        "the time of one more adding scatter of 128 rows of 512 B, less one of 16 rows",
        _by_rows("dma.accumulated_descriptor", {"dma.accumulate": -1}, 2),
    ),
    Probe(
        "adding scatters by bytes", adding_scatters, small_table_and_rows, ("dma.indexed_bytes",),
        "bytes of a row over the descriptors that one more adding scatter of rows of 4 KiB takes",
        tuple(_scatters(count, "dma.accumulated_descriptor", columns=1024) for count in (4, 16)),
    ),
)  # fmt: skip
