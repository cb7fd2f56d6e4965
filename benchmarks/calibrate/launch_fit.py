"""Launches fitted to a clock: quartiles of published minus predicted body, over rows of the fit half."""

from __future__ import annotations

from dataclasses import replace
from statistics import median, quantiles

from calibrate.cases import UNITS
from calibrate.launches import FITTED, LAUNCHES, Launch
from calibrate.readings import LATENCY
from calibrate.rows import Row
from calibrate.split import FIT

_SHORT = 150.0
"""Microseconds: of what took longer, the error of the body hides the launch."""


def fitted(rows: list[Row]) -> dict[str, Launch]:
    """A launch for each class that has rows enough, from its short ones."""
    found = {}
    for name in FITTED:
        left = [rest for latency, rest in _rests(rows, name) if latency <= _SHORT]
        if len(left) > 1:
            found[name] = Launch(*(max(0.0, round(value, 1)) for value in quantiles(left, n=4, method="inclusive")))
    return found


def with_launches(rows: list[Row], launches: dict[str, Launch]) -> list[Row]:
    """The same predictions with other launches."""
    return [replace(row, launch=launches.get(row.launch_class, row.launch)) for row in rows]


def text(rows: list[Row]) -> str:
    """The fit for a terminal, beside what `launches.py` has and what all rows of a class would give."""
    lines = [f"launch, us, fitted on rows under {_SHORT:.0f} us of the fit half (in launches.py; median of all rows)"]
    launches = fitted(rows)
    for name in FITTED:
        rests = _rests(rows, name)
        if name in launches:
            short = sum(latency <= _SHORT for latency, _ in rests)
            every = median(rest for _, rest in rests)
            lines.append(f"  {name:14} {short:3} rows  {launches[name]}  ({LAUNCHES[name].nominal}; {every:.1f})")
    return "\n".join(lines)


def _rests(rows: list[Row], launch_class: str) -> list[tuple[float, float]]:
    """Published latency, and published minus predicted body, in microseconds."""
    found = []
    for row in rows:
        if row.launch_class == launch_class and row.case.half == FIT and row.counts and row.figure.reading == LATENCY:
            assert row.body is not None
            unit = UNITS[row.figure.unit] / 1e3
            found.append((row.figure.value * unit, (row.figure.value - row.body) * unit))
    return found
