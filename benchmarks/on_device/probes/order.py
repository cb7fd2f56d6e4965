"""Which order the compiler chose: two chains, written one behind the other, with and without `nl.no_reorder`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from on_device.probes.probe import ChoiceProbe
from on_device.probes.tiles import hand_back, load, sbuf, source

COLUMNS = 64
_LOADS = 1024  # columns


@nki.jit
def two_chains(x: Any, order: str, count: int) -> Any:
    """A chain of copies on the Vector Engine, and behind it another one that does not depend on it."""
    tile = load(x)
    with nl.no_reorder() if order == "held" else nullcontext():
        for chain in range(2):
            at = slice(chain * COLUMNS, (chain + 1) * COLUMNS)
            for _ in range(count):
                nisa.tensor_scalar(
                    dst=tile[:, at], data=tile[:, at], op0=nl.multiply, operand0=1.0, engine=nisa.engine.vector
                )
    return hand_back(tile)


@nki.jit
def late_loads(x: Any, order: str, count: int) -> Any:
    """A chain of copies on the Vector Engine, and behind it loads that do not depend on it, each with a reader."""
    tile, total = load(x), sbuf(1)
    loaded = [sbuf(_LOADS) for _ in range(count // 8)]
    with nl.no_reorder() if order == "held" else nullcontext():
        for _ in range(count):
            nisa.tensor_scalar(
                dst=tile[:, 0:COLUMNS], data=tile[:, 0:COLUMNS], op0=nl.multiply, operand0=1.0,
                engine=nisa.engine.vector,
            )  # fmt: skip
        for each in loaded:
            nisa.dma_copy(dst=each, src=x[:, 0:_LOADS])
            nisa.tensor_reduce(dst=total, op=nl.add, data=each[:, 0:COLUMNS], axis=1)
    return hand_back(total)


PROBES: tuple[ChoiceProbe, ...] = (
    ChoiceProbe(
        "order of instructions", two_chains, source, {"order": "free", "count": 64}, {"order": "held", "count": 64},
        "the compiler laid the instructions of one chain between those of the other",
    ),
    ChoiceProbe(
        "order of transfers", late_loads, source, {"order": "free", "count": 64}, {"order": "held", "count": 64},
        "the compiler started loads ahead of the instructions written before them",
    ),
)  # fmt: skip
