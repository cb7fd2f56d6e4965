"""What a benchmark finds: a predicted time, and the work it is for, counted by the peer and by us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nkimoe.cli.prediction_report import BesideRoofline
from nkimoe.reference.roofline import Roofline
from nkisim.machine import UsefulWork, load_machine, machine_peaks
from nkisim.report.summary import Profile

INPUTS = ("model", "M", "N", "K", "E", "top_k")
TIME, TFLOPS, BANDWIDTH = "Time_(ms)", "TFLOPS", "Bandwidth_(GB/s)"
OURS = (
    "Predicted_low_(ms)", "Predicted_high_(ms)", "Useful_TFLOPS", "Useful_bytes", "Useful_(GB/s)", "Roofline_(ms)",
    "Of_roofline", "Bound_by",
)  # fmt: skip


@dataclass(frozen=True)
class Device:
    """Where an operation runs: so many cores of a target."""

    target: str
    lnc: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """One row.

    Attributes:
        peer: operations and bytes by aiter's formulas.
        useful: what must be computed and must move, once: int4 is half a byte, scales, zeros and ids count.
        operands: what the PE multiplies: bf16, which fp16 and int8 codes are as fast as, or fp8.
    """

    profile: Profile
    device: Device
    peer: UsefulWork
    useful: UsefulWork
    operands: str = "bf16"

    def columns(self) -> dict[str, Any]:
        """The peer's, then ours. All times are predicted."""
        us, (low, high) = self.profile.latency_us, self.profile.interval_us
        peaks = machine_peaks(load_machine(self.device.target), self.device.lnc, self.operands)
        beside = BesideRoofline(self.profile, Roofline(self.useful, peaks))
        ours = (
            low / 1e3, high / 1e3, beside.tflops, int(self.useful.nbytes), self.useful.nbytes / us / 1e3,
            beside.roofline.latency_us / 1e3, beside.fraction_of_roofline, self.profile.bound_by,
        )  # fmt: skip
        theirs = {TIME: us / 1e3, TFLOPS: self.peer.flops / us / 1e6, BANDWIDTH: self.peer.nbytes / us / 1e3}
        return theirs | dict(zip(OURS, ours, strict=True))


@dataclass(frozen=True)
class BenchRow:
    """Inputs, and how to find what comes out."""

    inputs: Mapping[str, Any]
    find: Callable[[], Outcome]
