# SPDX-License-Identifier: Apache-2.0
"""Enumerations of `nki.isa`. Values are AWS's."""

from __future__ import annotations

from enum import Enum


class engine(Enum):
    """Engines of a NeuronCore."""

    __hash__ = object.__hash__  # see MemoryRegion

    unknown = 0
    tensor = 1
    scalar = 2
    gpsimd = 3
    dma = 4
    vector = 5
    sync = 6


class reduce_cmd(Enum):
    """What an instruction does with the engine's accumulator registers."""

    __hash__ = object.__hash__  # see MemoryRegion

    idle = 0
    reset = 1
    reduce = 2
    reset_reduce = 3
    load_reduce = 4


class dge_mode(Enum):
    """Who generates DMA descriptors."""

    __hash__ = object.__hash__  # see MemoryRegion

    unknown = 0
    swdge = 1
    hwdge = 2
    none = 3


class oob_mode(Enum):
    """What happens to an out-of-bounds runtime index."""

    __hash__ = object.__hash__  # see MemoryRegion

    error = 0
    skip = 1


class matmul_perf_mode(Enum):
    """`double_row` packs two fp8 rows into one PE row."""

    __hash__ = object.__hash__  # see MemoryRegion

    none = "none"
    double_row = "double_row"


class nc_version(Enum):
    """NeuronCore generations; ordered."""

    gen2 = 2
    gen3 = 3
    gen4 = 4

    def __lt__(self, other: nc_version) -> bool:
        return bool(self.value < other.value)

    def __le__(self, other: nc_version) -> bool:
        return bool(self.value <= other.value)

    def __gt__(self, other: nc_version) -> bool:
        return bool(self.value > other.value)

    def __ge__(self, other: nc_version) -> bool:
        return bool(self.value >= other.value)


class dma_engine(Enum):
    """How `sendrecv` moves data: the DMA engines with a barrier, or GpSimd's own DMA."""

    dma = 1
    gpsimd_dma = 2
