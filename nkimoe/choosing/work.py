# SPDX-License-Identifier: Apache-2.0
"""Work of a core, as values that can be added up."""

from __future__ import annotations

from dataclasses import dataclass
from operator import add
from typing import NamedTuple

from nkisim.machine import Machine


class EngineWork(NamedTuple):
    """Of one core. Nanoseconds that an engine, or HBM, takes if nothing holds it up.

    Attributes:
        issue: of the queues that start loads of weights.
        exchanged: of the DMA engines, between the cores.
        chain: of rows of the output that are read, added to and written, a tile of slots after the other.
        parts: of blocks that go through the MLP.
    """

    tensor: float = 0.0
    vector: float = 0.0
    scalar: float = 0.0
    gpsimd: float = 0.0
    dma: float = 0.0
    hbm: float = 0.0
    issue: float = 0.0
    exchanged: float = 0.0
    chain: float = 0.0
    parts: float = 0.0

    def plus(self, other: EngineWork) -> EngineWork:
        """Both, one after the other."""
        return EngineWork(*map(add, self, other))

    def times(self, count: float) -> EngineWork:
        """So often."""
        return EngineWork(*(count * each for each in self))


class BlocksWork(NamedTuple):
    """Of one core, for some blocks.

    Attributes:
        fresh: parts that an expert's weights are loaded for.
        steady: those behind them, which find the weights in place, or stream them again.
    """

    fresh: EngineWork = EngineWork()
    steady: EngineWork = EngineWork()


@dataclass(frozen=True)
class CoreWork:
    """Of one core.

    Attributes:
        unrolled, looped: blocks outside the device loop, and in it.
        turns: of that loop.
        edges: rows that are cleared before the first block, and added behind the last.
        first_load: of weights, which nothing hides.
    """

    unrolled: BlocksWork
    looped: BlocksWork
    turns: int
    edges: EngineWork
    first_load: EngineWork


def moved(machine: Machine, nbytes: float, runs: float) -> EngineWork:
    """So many bytes of HBM, in so many descriptors."""
    ns = nbytes / machine.number("dma.rate") + runs * machine.number("dma.descriptor")
    return EngineWork(dma=ns / machine["dma.engines"], hbm=nbytes / machine.number("hbm.stack_rate"))
