# SPDX-License-Identifier: Apache-2.0
"""Direct allocation of NKI 0.1: `ncc.sbuf.mod_alloc`, `ncc.psum.alloc`, ... as buffers of `nl.ndarray`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nkisim.legacy.homes import Placement
from nkisim.memory import MemoryRegion

_BANK_BYTES = 2048


def _counts(tiles: Any, dimensions: int) -> list[int]:
    """How many tiles exist along each block dimension; the last ones are given."""
    given = [int(n) for n in (tiles if isinstance(tiles, (tuple, list)) else (tiles,))]
    return [1] * (dimensions - len(given)) + given


def _wrapped(index: tuple[int, ...], counts: list[int]) -> tuple[int, tuple[int, ...]]:
    """The number of the tile that a block index names, and what of the index is left beyond these tiles."""
    number = 0
    for i, count in zip(index, counts, strict=True):
        number = number * count + i % count
    return number, tuple(i // count for i, count in zip(index, counts, strict=True))


class SbufAllocation:
    """`ncc.sbuf`."""

    region = MemoryRegion.sbuf

    def mod_alloc(
        self, *, base_addr: int, base_partition: int = 0, num_par_tiles: Any = (), num_free_tiles: Any = ()
    ) -> Placement:
        """Tiles in a ring of as many as are given, from a byte of every partition on."""

        def address(index: tuple[int, ...], partitions: int, nbytes: int) -> tuple[int, int]:
            row, rest = _wrapped(index, _counts(num_par_tiles, len(index)))
            column, _ = _wrapped(rest, _counts(num_free_tiles, len(index)))
            return base_partition + row * partitions, base_addr + column * nbytes

        return Placement(self.region, address)

    def alloc(self, function: Callable[..., tuple[int, int]]) -> Placement:
        """Tiles where a function of block index, partitions and bytes says: (partition, byte)."""

        def address(index: tuple[int, ...], partitions: int, nbytes: int) -> tuple[int, int]:
            partition, byte = function(index, partitions, nbytes)
            return int(partition), int(byte)

        return Placement(self.region, address)

    __call__ = alloc


class PsumAllocation:
    """`ncc.psum`."""

    region = MemoryRegion.psum

    def mod_alloc(
        self, *, base_bank: int, base_addr: int = 0, base_partition: int = 0, num_bank_tiles: Any = (),
        num_par_tiles: Any = (), num_free_tiles: Any = (),
    ) -> Placement:  # fmt: skip
        """Tiles in a ring over banks, partitions and bytes of a bank."""

        def address(index: tuple[int, ...], partitions: int, nbytes: int) -> tuple[int, int]:
            row, rest = _wrapped(index, _counts(num_par_tiles, len(index)))
            column, rest = _wrapped(rest, _counts(num_free_tiles, len(index)))
            bank, _ = _wrapped(rest, _counts(num_bank_tiles, len(index)))
            byte = (base_bank + bank) * _BANK_BYTES + base_addr + column * nbytes
            return base_partition + row * partitions, byte

        return Placement(self.region, address)

    def alloc(self, function: Callable[..., tuple[int, int, int]]) -> Placement:
        """Tiles where a function of block index, partitions and bytes says: (bank, partition, byte in the bank)."""

        def address(index: tuple[int, ...], partitions: int, nbytes: int) -> tuple[int, int]:
            bank, partition, byte = function(index, partitions, nbytes)
            return int(partition), int(bank) * _BANK_BYTES + int(byte)

        return Placement(self.region, address)

    __call__ = alloc


class Allocations:
    """`neuronxcc.nki.compiler`'s two memories."""

    sbuf = SbufAllocation()
    psum = PsumAllocation()
