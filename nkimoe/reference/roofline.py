# SPDX-License-Identifier: Apache-2.0
"""The least time a layer can take: one definition, used everywhere.

Useful flops over the peak of the cores used, against the bytes that must move over HBM bandwidth; the larger bounds.
Padding, re-reads and zeroing do not count as useful. The peaks are those of nkisim's machine files.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.machine import Peaks, UsefulWork, load_machine, machine_peaks

# A weight of MX has a 32nd of a scale byte.
WEIGHT_BYTES = {"bf16": 2.0, "fp8-row": 1.0, "fp8-static": 1.0, "fp8-block": 1.0, "int8": 1.0}
WEIGHT_BYTES |= {"mxfp8": 1 + 1 / 32, "mxfp4": 0.5 + 1 / 32}


@dataclass(frozen=True)
class Roofline:
    """Bounds of a layer.

    Attributes:
        work: 6 * pairs * H * I operations; each touched expert's weights once, hidden states in once, output out once.
        peaks: of the cores.
    """

    work: UsefulWork
    peaks: Peaks

    @property
    def latency_us(self) -> float:
        """The larger bound."""
        return self.peaks.least_us(self.work)

    @property
    def bound_by(self) -> str:
        """Which one that is."""
        return "compute" if self.work.intensity >= self.peaks.ridge else "HBM"


def layer_work(
    tokens: int, pairs: int, hidden: int, intermediate: int, touched_experts: int, weights: str = "bf16"
) -> UsefulWork:
    """What a layer is for, with bf16 hidden states.

    Args:
        pairs: (token, expert) pairs that are computed: tokens * K, if all experts are here.
        weights: a key of WEIGHT_BYTES.
    """
    matrices = 3 * hidden * intermediate
    moved = WEIGHT_BYTES[weights] * touched_experts * matrices + 2.0 * 2 * tokens * hidden
    return UsefulWork(2.0 * pairs * matrices, moved)


def roofline(work: UsefulWork, target: str, cores: int, weights: str = "bf16") -> Roofline:
    """Bounds of `work` on `cores` cores. FP8 weights meet bf16 activations, and int8
    codes each other, at the rate of bf16."""
    operands = "mx" if weights.startswith("mx") else "bf16"
    return Roofline(work, machine_peaks(load_machine(target), cores, operands))
