"""Counts of a run."""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.memory import MemoryRegion
from nkisim.observe import Capacity, Counters


@dataclass(frozen=True)
class Profile:
    """What a kernel did, summed over its cores.

    Attributes:
        instructions: by engine.
        opcodes: by instruction.
        hbm_read, hbm_written: bytes.
        macs: multiply-accumulates on the PE, padding included.
        sbuf_peak_bytes: SBUF in use at once, bytes a partition, on the fuller core.
        psum_peak_banks: PSUM banks in use at once, likewise.
    """

    instructions: dict[str, int]
    opcodes: dict[str, int]
    hbm_read: int
    hbm_written: int
    macs: int
    sbuf_peak_bytes: int
    psum_peak_banks: int

    @classmethod
    def from_observers(cls, counters: Counters, capacity: Capacity) -> Profile:
        """The counts two observers gathered."""
        return cls(
            dict(counters.instructions),
            dict(counters.opcodes),
            counters.hbm_read,
            counters.hbm_written,
            counters.macs,
            capacity.peak(MemoryRegion.sbuf),
            capacity.peak_banks(),
        )
