"""Casts: copies of the Vector Engine from one type to another, and DMA that casts on its way."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkisim.fitting import Term
from on_device.probes.probe import Point, Probe, cycles, stream
from on_device.probes.tiles import PARTITIONS, WIDTH, hand_back, load, sbuf, source

_COPIES, _COLUMNS = (8, 32), 1024
_BYTES = PARTITIONS // 16 * WIDTH * 4  # of the input, on each of the engines


@nki.jit
def vector_casts(x: Any, read: str, written: str, count: int) -> Any:
    """`count` copies from a tile of one type into tiles of another, which do not depend on each other."""
    tile, given, result = load(x), sbuf(_COLUMNS, getattr(nl, read)), sbuf(1)
    nisa.tensor_copy(dst=given, src=tile[:, 0:_COLUMNS], engine=nisa.engine.vector)
    made = sbuf(max(_COPIES) * _COLUMNS, getattr(nl, written))
    for n in range(count):
        nisa.tensor_copy(dst=made[:, n * _COLUMNS : (n + 1) * _COLUMNS], src=given, engine=nisa.engine.vector)
    nisa.tensor_copy(dst=result, src=made[:, (count - 1) * _COLUMNS :][:, 0:1], engine=nisa.engine.vector)
    return hand_back(result)


@nki.jit
def casting_loads(x: Any, count: int) -> Any:
    """`count` loads of the input, fp32, into tiles of their own, bf16."""
    tiles, result = sbuf(count * WIDTH, nl.bfloat16), sbuf(1)
    for n in range(count):
        nisa.dma_copy(dst=tiles[:, n * WIDTH : (n + 1) * WIDTH], src=x, dge_mode=nisa.dge_mode.none)
    nisa.tensor_copy(dst=result, src=tiles[:, (count - 1) * WIDTH :][:, 0:1], engine=nisa.engine.vector)
    return hand_back(result)


def _copies(read: str, written: str, rate: str, settles: tuple[str, ...], how: str) -> Probe:
    return Probe(
        f"vector cast {read} to {written}", vector_casts, source, settles, how,
        tuple(
            Point({"read": read, "written": written, "count": count}, (
                stream(count * _COLUMNS, rate, "dve"), cycles(count, "dve_time.overhead", "dve"),
            ))
            for count in _COPIES
        ),
    )  # fmt: skip


PROBES = (
    _copies(
        "bfloat16", "bfloat16", "dve_rate.copy_16_sbuf", ("dve_rate.copy_16_sbuf",),
        "the time of one more copy of 1024 columns, less the fixed part of a copy: the fastest mode of the engine",
    ),
    _copies(
        "float32", "bfloat16", "dve_rate.copy_32_sbuf", (),
        "settles nothing: whether a cast to 16 bits costs what a copy of 32 bits does",
    ),
    _copies(
        "bfloat16", "float32", "dve_rate.copy_32_sbuf", (),
        "settles nothing: whether a cast to 32 bits costs what a copy of 32 bits does",
    ),
    Probe(
        "dma casts", casting_loads, source, (),
        "settles nothing: whether a load that casts costs what its source's bytes do",
        tuple(
            Point({"count": count}, (
                Term(count * _BYTES, {"dma.rate": -1}),
                Term(count * _BYTES, {"dma.descriptor": 1, "dma.packet": -1}),
            ))
            for count in (4, 16)
        ),
    ),
)  # fmt: skip
