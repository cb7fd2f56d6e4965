"""What a whole execution takes beyond the body of its kernel, by how it was launched and timed.

The tests of nki-library time the only run of a kernel or, with `num_runs` of 10, the last of several.
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
    "LNC1 once": Launch(20.0, 24.0, 30.0),
    "LNC1 repeated": Launch(7.0, 13.0, 16.0),
    "LNC2 once": Launch(28.0, 38.0, 45.0),
    "LNC2 repeated": Launch(16.0, 20.0, 27.0),
}
FITTED = tuple(name for name in LAUNCHES if name.startswith("LNC"))


def class_of(lnc: int, runs: int) -> str:
    """The class of an execution by the tests of nki-library, for a logical core of `lnc` cores."""
    return f"LNC{lnc} {'once' if runs == 1 else 'repeated'}"
