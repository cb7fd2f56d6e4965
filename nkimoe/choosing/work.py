"""Work of a core, as values that can be added up."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Work:
    """Of one core. Nanoseconds that an engine, or HBM, takes if nothing holds it up.

    Attributes:
        exchanged: of the DMA engines, between the cores.
        parts: of blocks that go through the MLP.
        turns: of the device loop.
    """

    tensor: float = 0.0
    vector: float = 0.0
    scalar: float = 0.0
    gpsimd: float = 0.0
    dma: float = 0.0
    hbm: float = 0.0
    exchanged: float = 0.0
    parts: float = 0.0
    turns: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def times(self, count: float) -> Work:
        """So often."""
        return Work(*(count * getattr(self, each.name) for each in fields(self)))


@dataclass(frozen=True)
class CoreWork:
    """Of one core.

    Attributes:
        unrolled, looped: blocks outside the device loop, and in it.
        finish: what follows the last block.
        first_load: of weights, which nothing hides.
    """

    unrolled: Work
    looped: Work
    finish: Work
    first_load: Work
