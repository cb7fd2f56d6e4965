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
    "LNC1 once": Launch(13.8, 18.9, 20.8),
    "LNC1 repeated": Launch(6.4, 7.2, 8.1),
    "LNC2 once": Launch(0.0, 29.5, 36.2),
    "LNC2 repeated": Launch(19.5, 25.4, 33.1),
}
FITTED = tuple(name for name in LAUNCHES if name.startswith("LNC"))


def class_of(lnc: int, runs: int) -> str:
    """The class of an execution by the tests of nki-library, for a logical core of `lnc` cores."""
    return f"LNC{lnc} {'once' if runs == 1 else 'repeated'}"
