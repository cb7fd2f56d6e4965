"""The GpSimd Engine: fills, patterns, and its library call that lists what is not zero."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from on_device.probes.probe import Point, Probe, cycles, ns, stream
from on_device.probes.tiles import hand_back, load, sbuf, source

MOST = 32768


@nki.jit
def fills(x: Any, count: int, columns: int) -> Any:
    """`count` memsets that do not depend on each other."""
    results = sbuf(MOST)
    for n in range(count):
        nisa.memset(dst=results[:, n * columns : (n + 1) * columns], value=1.0, engine=nisa.engine.gpsimd)
    return hand_back(results[:, (count - 1) * columns :])


@nki.jit
def patterns(x: Any, count: int, columns: int) -> Any:
    """`count` iotas that do not depend on each other."""
    results = sbuf(MOST)
    for n in range(count):
        nisa.iota(dst=results[:, n * columns : (n + 1) * columns], pattern=[[1, columns]], channel_multiplier=1)
    return hand_back(results[:, (count - 1) * columns :])


@nki.jit
def compactions(x: Any, count: int, columns: int) -> Any:
    """`count` lists of what is not zero, and a column of the input behind them."""
    tile, found, result = load(x), sbuf(columns + 1, nl.int32), sbuf(1)
    nisa.memset(dst=found, value=0, engine=nisa.engine.gpsimd)
    for _ in range(count):
        nisa.nonzero_with_count(dst=found, src=tile[:, 0:columns])
    nisa.iota(dst=result, pattern=[[1, 1]], channel_multiplier=1)
    return hand_back(result)


PROBES = (
    Probe(
        "gpsimd fill", fills, source, ("pool_time.overhead_fill",),
        "the time of one more memset, less its elements",
        tuple(
            Point({"count": count, "columns": 64}, (
                stream(count * 64, "pool_time.rate", "pool"), cycles(count, "pool_time.overhead_fill", "pool"),
            ))
            for count in (32, 256)
        ),
    ),
    Probe(
        "gpsimd pattern", patterns, source, ("pool_time.overhead", "pool_time.rate"),
        "the time of one more iota of 64 columns, and of one more of 1024",
        tuple(
            Point({"count": count, "columns": columns}, (
                stream(count * columns, "pool_time.rate", "pool"), cycles(count, "pool_time.overhead", "pool"),
            ))
            for count, columns in ((16, 64), (32, 64), (256, 64), (16, 1024), (32, 1024))
        ),
    ),
    Probe(
        "gpsimd compaction", compactions, source, ("pool_time.compaction",),
        "the time of one more nonzero_with_count of 512 elements, its semaphore included",
        tuple(
            Point({"count": count, "columns": 512}, (
                ns(count, "pool_time.compaction"), ns(count, "sync.semaphore"),
            ))
            for count in (2, 8)
        ),
    ),
)  # fmt: skip
