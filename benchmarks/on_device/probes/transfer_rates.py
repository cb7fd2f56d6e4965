"""DMA: what the engines take to move bytes, in one go, in pieces, turned and added, and both cores at once."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from nkisim.fitting import Term
from on_device.probes.probe import Array, Point, Probe, Sizes, ns
from on_device.probes.tiles import PARTITIONS, hand_back, load, sbuf, source

ENGINES = 16
_ROWS = PARTITIONS // ENGINES  # of a tile over all partitions, on each engine
_WORD = 4  # bytes of float32
_PIECES = _ROWS * 2048  # of a spread load, on each engine


def matrix(sizes: Sizes) -> tuple[Array, ...]:
    """float32 [128, `width`]: rows of `columns` lie apart in HBM where the width is larger."""
    return (np.ones((PARTITIONS, int(sizes["width"])), np.float32),)


@nki.jit
def loads(x: Any, count: int, columns: int, width: int) -> Any:
    """`count` loads of [128, columns] into tiles of their own, and a result that waits for none but the last."""
    tiles = sbuf(count * columns)
    for n in range(count):
        nisa.dma_copy(dst=tiles[:, n * columns : (n + 1) * columns], src=x[:, 0:columns], dge_mode=nisa.dge_mode.none)
    return hand_back(tiles[:, (count - 1) * columns :])


@nki.jit
def repeated_loads(x: Any, count: int, columns: int, width: int) -> Any:
    """`count` loads of [128, columns] into two tiles in turn."""
    pair = (sbuf(columns), sbuf(columns))
    for n in range(count):
        nisa.dma_copy(dst=pair[n % 2], src=x[:, 0:columns], dge_mode=nisa.dge_mode.none)
    return hand_back(pair[(count - 1) % 2])


@nki.jit
def spread_load(x: Any, count: int) -> Any:
    """`count` loads whose elements do not lie together in SBUF: every second one."""
    tile, result = sbuf(2 * x.shape[1]), sbuf(1)
    nisa.memset(dst=result, value=0, engine=nisa.engine.vector)
    for _ in range(count):
        nisa.dma_copy(dst=tile[:, 0::2], src=x, dge_mode=nisa.dge_mode.none)
    nisa.tensor_copy(dst=result, src=tile[:, 0:1], engine=nisa.engine.vector)
    return hand_back(result)


@nki.jit
def dma_transposes(x: Any, count: int) -> Any:
    """`count` transposes of [128, 128] bf16 into tiles of their own."""
    tile, turned, result = sbuf(PARTITIONS, nl.bfloat16), sbuf(count * PARTITIONS, nl.bfloat16), sbuf(1)
    nisa.memset(dst=tile, value=1, engine=nisa.engine.vector)
    for n in range(count):
        nisa.dma_transpose(dst=turned[:, n * PARTITIONS : (n + 1) * PARTITIONS], src=tile)
    nisa.tensor_copy(dst=result, src=turned[:, (count - 1) * PARTITIONS :][:, 0:1], engine=nisa.engine.vector)
    return hand_back(result)


@nki.jit
def dma_sums(x: Any, count: int) -> Any:
    """`count` sums of two tiles by the DMA engines, each adding to what the one before wrote."""
    tile, total = load(x), load(x)
    for _ in range(count):
        nisa.dma_compute(dst=total, srcs=[total, tile], reduce_op=nl.add)
    return hand_back(total)


@nki.jit
def copies_in_hbm(x: Any, count: int, width: int) -> Any:
    """Each core copies a matrix in HBM `count` times: twice its bytes through the stack."""
    copies = nl.ndarray((2, *x.shape), dtype=x.dtype, buffer=nl.private_hbm)
    for n in range(count):
        nisa.dma_copy(dst=copies[n % 2], src=x, dge_mode=nisa.dge_mode.none)
    out = nl.ndarray((PARTITIONS, 2), dtype=x.dtype, buffer=nl.shared_hbm)
    core = nl.program_id(0)
    nisa.dma_copy(dst=out[:, core : core + 1], src=copies[(count - 1) % 2][:, 0:1], dge_mode=nisa.dge_mode.none)
    return out


def _serial(count: int) -> tuple[Term, ...]:
    """Fixed parts of transfers that wait for each other."""
    return tuple(ns(count, f"dma.{part}") for part in ("issue_static", "start", "complete", "to_engine"))


def _loads(count: int, columns: int) -> Point:
    return Point({"count": count, "columns": columns, "width": 4096}, (
        Term(count * _ROWS * columns * _WORD, {"dma.rate": -1}), ns(count * _ROWS, "dma.descriptor"),
    ))  # fmt: skip


def _long_loads(count: int) -> Point:
    nbytes, columns = count * _ROWS * 8192 * _WORD, 8192
    return Point({"count": count, "columns": columns, "width": columns}, (
        Term(nbytes, {"dma.rate": -1}), Term(nbytes, {"dma.descriptor": 1, "dma.packet": -1}),
    ))  # fmt: skip


def _transposes(count: int) -> Point:
    share = {"dma.transpose_sbuf": -1}
    return Point({"count": count}, (
        Term(count * _ROWS * PARTITIONS * 2, {"dma.rate": -1, **share}),
        Term(count * _ROWS, {"dma.descriptor": 1, **share}),
    ))  # fmt: skip


def _sums(count: int) -> Point:
    share = {"dma.accumulate": -1}
    return Point({"count": count}, (
        Term(2 * count * _ROWS * 2048 * _WORD, {"dma.rate": -1, **share}),
        Term(2 * count * _ROWS, {"dma.descriptor": 1, **share}), *_serial(count),
    ))  # fmt: skip


def _copies(count: int) -> Point:
    through = count * 2 * 2 * PARTITIONS * 16384 * _WORD  # both cores, read and written
    return Point({"count": count, "width": 16384}, (Term(through, {"hbm.stack_rate": -1}),))


PROBES = (
    Probe(
        "dma loads", loads, matrix, ("dma.rate", "dma.descriptor"),
        "the time of one more load with rows of 256 B, and with rows of 8 KiB that lie apart in HBM",
        tuple(_loads(count, columns) for count, columns in ((16, 64), (128, 64), (4, 2048), (16, 2048))),
    ),
    Probe(
        "dma long loads", repeated_loads, matrix, ("dma.packet",),
        "the time of one more load of 4 MiB that lie together, less its bytes, over the descriptors of its packets",
        tuple(_long_loads(count) for count in (2, 8)),
    ),
    Probe(
        "dma spread load", spread_load, source, ("dma.least",),
        "the time of one more load in pieces of 4 B, over the pieces of an engine",
        tuple(Point({"count": count}, (ns(count * _PIECES, "dma.least"), *_serial(count))) for count in (2, 6)),
    ),
    Probe(
        "dma transposes", dma_transposes, source, ("dma.transpose_sbuf",),
        "the time of a copy of the same pieces over that of one more transpose",
        tuple(_transposes(count) for count in (16, 128)),
    ),
    Probe(
        "dma sums", dma_sums, source, ("dma.accumulate",),
        "the time of two copies of the same pieces over that of one more sum",
        tuple(_sums(count) for count in (4, 32)),
    ),
    Probe(
        "dma both cores", copies_in_hbm, matrix, ("hbm.stack_rate",),
        "bytes that both cores read and write, over the time of one more copy in HBM",
        tuple(_copies(count) for count in (2, 6)), cores=2,
    ),
)  # fmt: skip
