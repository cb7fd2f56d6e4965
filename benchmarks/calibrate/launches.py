"""What a whole execution takes beyond the body of its kernel, by how it was launched and timed.

The tests of nki-library time the only run of a kernel or, with `num_runs` of 10, the last of several. Medians of
published minus predicted body over the rows of the fit half; `benchmarks/calibration.py --fit-launch` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING

from calibrate.split import FIT

if TYPE_CHECKING:
    from calibrate.rows import Row

NONE, BENCHMARK = "none", "benchmark, one core"


@dataclass(frozen=True)
class Launch:
    """Microseconds: the least, the most likely and the most."""

    low: float
    nominal: float
    high: float


LAUNCHES = {
    NONE: Launch(0.0, 0.0, 0.0),  # figures of a profile: the body alone
    BENCHMARK: Launch(5.7, 7.4, 9.1),  # measured: benchmark less profile of four kernels, measurements.toml
    "LNC1 once": Launch(20.0, 24.0, 30.0),
    "LNC1 repeated": Launch(7.0, 13.0, 16.0),
    "LNC2 once": Launch(28.0, 38.0, 45.0),
    "LNC2 repeated": Launch(16.0, 20.0, 27.0),
}


def class_of(lnc: int, runs: int) -> str:
    """The class of an execution by the tests of nki-library, for a logical core of `lnc` cores."""
    return f"LNC{lnc} {'once' if runs == 1 else 'repeated'}"


def fitted(rows: list[Row]) -> str:
    """Quartiles of published minus predicted body in microseconds, by class: rows of the fit half that count."""
    lines = ["launch, us: class, rows, lower quartile, median, upper quartile"]
    for launch in LAUNCHES:
        left = [
            row.figure.value - row.body
            for row in rows
            if row.launch == launch and row.case.half == FIT and row.counts and row.body and row.figure.unit == "us"
        ]
        if len(left) > 1 and launch not in (NONE, BENCHMARK):
            low, middle, high = quantiles(left, n=4)
            lines.append(f"  {launch:14} {len(left):4} {low:8.1f} {middle:8.1f} {high:8.1f}")
    return "\n".join(lines)
