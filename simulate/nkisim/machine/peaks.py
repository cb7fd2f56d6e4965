# SPDX-License-Identifier: Apache-2.0
"""What a machine can do at most, by its documents: the roofline, and the least time that work can take under it.

Predictions use other numbers, fitted to measured kernels (`dma.rate`, `hbm.stack_rate`); these are only compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.machine.loader import Machine

_LABELS = {"bf16": "bf16", "fp8": "fp8 double-row", "mx": "MX"}


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
        """The least time `work` can take: of its operations or of its bytes, whichever takes longer."""
        return max(work.flops / self.tflops / 1e6, work.nbytes / self.gbps / 1e3)


def machine_peaks(machine: Machine, cores: int, operands: str = "bf16") -> Peaks:
    """The documented peaks of `cores` cores.

    A core's PE does a multiply-accumulate a cell and cycle on bf16, and the multiple of `[peak]` on other operands. HBM
    is as fast as a core's share of the chip's bandwidth or as its DMA engines in practice, whichever is slower.

    Args:
        operands: of the matmuls: "bf16" (fp16 and tf32 are as fast), "fp8" (double rows), "mx" (trn3).

    Raises:
        ValueError: the machine has no documented peak for such operands.
    """
    multiple = 1.0 if operands == "bf16" else _multiple(machine, operands)
    macs = machine["pe.rows"] * machine["pe.stationary_columns"] * machine.number("clock.pe")
    dma = machine.number("peak.dma") * machine["dma.engines"]
    gbps = min(machine.number("peak.hbm_share"), dma)
    return Peaks(2 * macs * multiple * cores / 1e3, gbps * cores, _LABELS[operands])


def _multiple(machine: Machine, operands: str) -> float:
    known = [name for name in _LABELS if f"peak.{name}" in machine.quantities and machine.number(f"peak.{name}")]
    if operands not in known:
        raise ValueError(f"{machine.name} has peaks for bf16, {', '.join(known)} operands, not for {operands!r}")
    return machine.number(f"peak.{operands}")
