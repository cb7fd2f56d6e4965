"""DMA: what it takes to start a transfer, in each mode, and until its end is known."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkisim.fitting import Term
from on_device.probes.probe import Point, Probe, ns, stream
from on_device.probes.tiles import PARTITIONS, hand_back, sbuf, source

ENGINES = 16
MODES = {"static": nisa.dge_mode.none, "hwdge": nisa.dge_mode.hwdge, "swdge": nisa.dge_mode.swdge}
_RUNS = PARTITIONS * 80  # of a scattered load


@nki.jit
def small_loads(x: Any, mode: str, count: int) -> Any:
    """`count` loads of an element for each of 16 partitions: nothing but starting them takes time."""
    tiles = sbuf(count)
    nisa.dma_copy(dst=tiles[ENGINES:PARTITIONS, count - 1 : count], src=x[ENGINES:PARTITIONS, 0:1],
                  dge_mode=nisa.dge_mode.none)  # fmt: skip
    for n in range(count):
        nisa.dma_copy(dst=tiles[0:ENGINES, n : n + 1], src=x[0:ENGINES, 0:1], dge_mode=MODES[mode])
    return hand_back(tiles[:, count - 1 :])


@nki.jit
def scattered_loads(x: Any, count: int) -> Any:
    """`count` loads in software of 80 elements a partition that lie apart on both sides."""
    tiles = sbuf(count * 160)
    for n in range(count):
        nisa.dma_copy(dst=tiles[:, n * 160 : (n + 1) * 160 : 2], src=x[:, 0:160:2], dge_mode=nisa.dge_mode.swdge)
    return hand_back(tiles[:, (count - 1) * 160 :])


@nki.jit
def hops(x: Any, mode: str, count: int) -> Any:
    """`count` copies from HBM to HBM of which each reads what the one before wrote, [16, 1]."""
    here = nl.ndarray((PARTITIONS, 1), dtype=x.dtype, buffer=nl.private_hbm)
    there = nl.ndarray((PARTITIONS, 1), dtype=x.dtype, buffer=nl.private_hbm)
    nisa.dma_copy(dst=here, src=x[:, 0:1], dge_mode=nisa.dge_mode.none)
    for _ in range(count):
        nisa.dma_copy(dst=there[0:ENGINES, :], src=here[0:ENGINES, :], dge_mode=MODES[mode])
        here, there = there, here
    result = sbuf(1)
    nisa.memset(dst=result, value=0, engine=nisa.engine.vector)
    nisa.dma_copy(dst=result[0:ENGINES, :], src=here[0:ENGINES, :], dge_mode=nisa.dge_mode.none)
    return hand_back(result)


@nki.jit
def stores_before_writes(x: Any, count: int) -> Any:
    """`count` times a tile is stored and then written again: the write waits for the bytes, not for the semaphore."""
    kept = nl.ndarray((PARTITIONS, count), dtype=x.dtype, buffer=nl.private_hbm)
    tile = sbuf(1)
    nisa.memset(dst=tile, value=1, engine=nisa.engine.vector)
    for n in range(count):
        nisa.dma_copy(dst=kept[0:ENGINES, n : n + 1], src=tile[0:ENGINES, :], dge_mode=nisa.dge_mode.none)
        nisa.memset(dst=tile, value=1, engine=nisa.engine.vector)
    return hand_back(tile)


@nki.jit
def load_and_reader(x: Any, readers: int) -> Any:
    """A long load at the end of the kernel, and so many copies of what it loads behind it."""
    first, tile = sbuf(1), sbuf(x.shape[1])
    nisa.memset(dst=first, value=1, engine=nisa.engine.vector)
    out = hand_back(first)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.none)
    for _ in range(readers):
        nisa.tensor_copy(dst=sbuf(64), src=tile[:, 0:64], engine=nisa.engine.vector)
    return out


def _start(mode: str) -> str:
    return "dma.start" if mode == "static" else f"dma.start_{mode}"


def _issue(mode: str) -> Probe:
    name = f"dma.issue_{mode}"
    return Probe(
        f"dma issue {mode}", small_loads, source, (name,), "the time of one more load of 64 B",
        tuple(Point({"mode": mode, "count": count}, (ns(count, name),)) for count in (32, 256)),
    )  # fmt: skip


def _hops(mode: str) -> Probe:
    moved = (Term(64, {"dma.rate": -1}), Term(1, {"dma.descriptor": 1}))
    parts = (f"dma.issue_{mode}", _start(mode), "dma.complete", "dma.to_engine")
    return Probe(
        f"dma hops {mode}", hops, source, (_start(mode),),
        "the time of one more dependent copy of 64 B, less its issue, its completion and the wake-up of the next",
        tuple(
            Point({"mode": mode, "count": count}, (
                *(ns(count, part) for part in parts), *(Term(count * term.factor, term.powers) for term in moved),
            ))
            for count in (8, 64)
        ),
    )  # fmt: skip


def _stores(count: int) -> Point:
    return Point({"count": count}, (
        ns(count, "dma.issue_static"), ns(count, "dma.start"), Term(count * 4, {"dma.rate": -1}),
        ns(count, "dma.descriptor"), ns(count, "dma.to_engine"), stream(count, "dve_rate.copy_32_sbuf", "dve"),
        ns(count, "dve_time.result"), ns(count, "sync.semaphore"),
    ))  # fmt: skip


def _reader(readers: int) -> Point:
    return Point({"readers": readers}, (
        ns(readers, "dma.to_engine"), stream(readers * 64, "dve_rate.copy_32_sbuf", "dve"),
        ns(readers, "dve_time.result"),
    ))  # fmt: skip


PROBES = (
    *map(_issue, MODES),
    *map(_hops, MODES),
    Probe(
        "dma runs in software", scattered_loads, source, ("dma.swdge_run",),
        "the time of one more load of 10,240 runs, over the runs",
        tuple(Point({"count": count}, (ns(count * _RUNS, "dma.swdge_run"),)) for count in (4, 16)),
    ),
    Probe(
        "dma complete", stores_before_writes, source, ("dma.complete",),
        "a write behind a store waits for its last byte only, a dependent copy for its completion: the difference",
        tuple(map(_stores, (8, 64))),
    ),
    Probe(
        "dma to engine", load_and_reader, source, ("dma.to_engine",),
        "a load with a reader behind it, less the load alone and the reader", tuple(map(_reader, (0, 1))),
    ),
)  # fmt: skip
