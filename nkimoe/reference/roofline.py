"""The least time a layer can take: one definition, used everywhere.

Useful flops over the peak of the cores used, against the bytes that must move over HBM bandwidth; the larger bounds.
Padding, re-reads and zeroing do not count as useful.
"""

from __future__ import annotations

from dataclasses import dataclass

# Per core: peak TF/s by operand format, and HBM GB/s (half a stack). Sources: NKI architecture guides of Trainium 2
# and 3 (128 x 128 PEs x 2 x 2.4 GHz = 78.6 TF/s bf16, four times that for MX); on trn3 the DMA engines' practical
# 528 GB/s are the limit. A weight of MX has a 32nd of a scale byte; FP8 weights meet
# bf16 activations at the rate of bf16.
PEAK_TFLOPS = {"trn2": {"bf16": 78.6}, "trn3": {"bf16": 78.6, "mx": 314.6}}
WEIGHT_BYTES = {"bf16": 2.0, "fp8-row": 1.0, "fp8-static": 1.0, "mxfp8": 1 + 1 / 32, "mxfp4": 0.5 + 1 / 32}
HBM_GBPS = {"trn2": 362.0, "trn3": 528.0}


@dataclass(frozen=True)
class Roofline:
    """Bounds of a layer.

    Attributes:
        flops: 6 * T * K * H * I.
        bytes: each touched expert's weights once, hidden states in once, output out once.
        compute_us, memory_us: the two bounds.
    """

    flops: float
    bytes: float
    compute_us: float
    memory_us: float

    @property
    def latency_us(self) -> float:
        """The larger bound."""
        return max(self.compute_us, self.memory_us)

    @property
    def bound_by(self) -> str:
        """Which one that is."""
        return "compute" if self.compute_us >= self.memory_us else "HBM"


def roofline(
    tokens: int, top_k: int, hidden: int, intermediate: int, touched_experts: int, cores: int, target: str,
    weights: str = "bf16",
) -> Roofline:  # fmt: skip
    """Bounds for bf16 hidden states; `weights` is a key of WEIGHT_BYTES."""
    flops = 6.0 * tokens * top_k * hidden * intermediate
    moved = WEIGHT_BYTES[weights] * touched_experts * 3 * hidden * intermediate + 2.0 * 2 * tokens * hidden
    peak = PEAK_TFLOPS[target]["mx" if weights.startswith("mx") else "bf16"]
    compute = flops / (peak * cores * 1e12) * 1e6
    memory = moved / (HBM_GBPS[target] * cores * 1e9) * 1e6
    return Roofline(flops, moved, compute, memory)
