"""The roofline of a machine, and where a run lies under it."""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.machine import Machine


@dataclass(frozen=True)
class Peaks:
    """What the cores of a launch can do at most.

    Attributes:
        tflops: 1e12 floating point operations a second on the PE.
        gbps: 1e9 bytes a second from and to HBM.
        label: which operands `tflops` is for.
    """

    tflops: float
    gbps: float
    label: str = "bf16"

    @property
    def ridge(self) -> float:
        """Flops a byte from which on the PE is the limit."""
        return self.tflops * 1e3 / self.gbps

    def least_us(self, work: UsefulWork) -> float:
        """The least time `work` can take."""
        return max(work.flops / self.tflops / 1e6, work.nbytes / self.gbps / 1e3)


@dataclass(frozen=True)
class UsefulWork:
    """What a kernel is for.

    Attributes:
        flops: floating point operations; nbytes: bytes that must move from and to HBM.
        label: how a picture calls it.
    """

    flops: float
    nbytes: float
    label: str = "useful"

    @property
    def intensity(self) -> float:
        """Flops a byte."""
        return self.flops / self.nbytes if self.nbytes else float("inf")


def machine_peaks(machine: Machine, cores: int) -> Peaks:
    """bf16 matmuls on all of the PE; HBM as fast as the stack or the DMA engines of the cores, whichever is slower."""
    macs = machine["pe.rows"] * machine["pe.stationary_columns"] * machine.number("clock.pe")
    dma = machine.number("dma.rate") * machine["dma.engines"] * cores
    return Peaks(2 * macs * cores / 1e3, min(machine.number("hbm.stack_rate"), dma))
