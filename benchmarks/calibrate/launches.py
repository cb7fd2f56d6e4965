"""What a whole execution takes beyond the body of its kernel, by the cores of a logical core and by who timed it.

Each family of tests of nki-library times its kernels in a way of its own (the only run, or the last of several; several
names for the figure), so that each has a class.
"""

from __future__ import annotations

from dataclasses import dataclass

NONE, BENCHMARK = "none", "benchmark"


@dataclass(frozen=True)
class Launch:
    """Microseconds: the least, the most likely and the most."""

    low: float
    nominal: float
    high: float


LAUNCHES = {
    NONE: Launch(0.0, 0.0, 0.0),  # figures of a profile: the body alone
    BENCHMARK: Launch(5.7, 7.4, 9.1),  # one core, warm: measured, benchmark less profile of four kernels
    # quartiles that `benchmarks/calibration.py --fit-launch` prints, over rows of the fit half
    "LNC1 attention_cte": Launch(10.0, 18.0, 26.0),
    "LNC2 attention_cte": Launch(22.0, 28.1, 38.5),
    "LNC1 mlp_cte": Launch(9.3, 15.5, 30.9),
    "LNC2 mlp_cte": Launch(33.7, 37.4, 41.7),
    "LNC1 mlp_tkg": Launch(6.2, 7.1, 8.0),
    "LNC2 mlp_tkg": Launch(17.8, 22.5, 26.1),
    "LNC2 qkv_tkg": Launch(32.3, 36.7, 39.1),
    "LNC2 rmsnorm_quant": Launch(21.7, 23.1, 26.0),
}
FITTED = tuple(name for name in LAUNCHES if name.startswith("LNC"))


def class_of(launched: str, kernel: str) -> str:
    """The class of an execution on a logical core of so many cores ("LNC2"), by the tests of a kernel."""
    name = f"{launched[:4]} {kernel}"
    return name if name in LAUNCHES else launched or NONE
