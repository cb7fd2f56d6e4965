"""How well a clock does: by family, and by half of the split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from calibrate.cases import MEASURED
from calibrate.readings import LATENCY
from calibrate.rows import Row
from calibrate.split import FIT, TEST

_FAR = 1.5
Cells = list[str]
HEADINGS = (
    "family", "half", "rows", "numbers", "median error", "median ratio", "within 1.5", "least", "largest", "held",
    "width",
)  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """Of some rows.

    Attributes:
        numbers: how many different published numbers they have.
        error: median of |log(ratio)|, as a share.
        ratio: median of predicted over published.
        near: share of rows within a factor of 1.5.
        least, largest: ratio.
        held: share of intervals that hold the published value, or None: the clock gives none.
        width: median of high over low.
    """

    rows: int
    numbers: int
    error: float
    ratio: float
    near: float
    least: float
    largest: float
    held: float | None
    width: float | None


def quality(rows: Sequence[Row]) -> Quality:
    """Of rows that all count, at least one."""
    ratios = [row.ratio for row in rows]
    errors = [abs(math.log(ratio)) if ratio > 0 else math.inf for ratio in ratios]
    intervals = [row.interval for row in rows if row.interval is not None]
    numbers = {(row.case.kernel, row.figure.value) for row in rows}
    return Quality(
        len(rows), len(numbers), math.expm1(median(errors)), median(ratios),
        sum(error <= math.log(_FAR) for error in errors) / len(rows), min(ratios), max(ratios),
        sum(row.holds for row in rows) / len(intervals) if intervals else None,
        median(high / low for low, high in intervals) if intervals else None,
    )  # fmt: skip


def judged(rows: Iterable[Row]) -> list[Row]:
    """Latencies of whole kernels that count: what the split is about."""
    return [row for row in rows if row.counts and row.case.half != MEASURED and row.figure.reading == LATENCY]


def once(rows: Iterable[Row]) -> list[Row]:
    """Of rows with one key of the split, the first."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row.case.key, row)
    return list(found.values())


def table(rows: list[Row]) -> list[Cells]:
    """A line of cells, as HEADINGS says, for each half of nki-library's rows and of each family, and for checks."""
    counted = judged(rows)
    library = [row for row in counted if row.case.source.startswith("nki-library") and "long" not in row.case.family]
    groups = [("nki-library", library), ("nki-library, each number once", once(library))]
    groups += [(name, [row for row in counted if row.case.family == name]) for name in _families(counted)]
    lines: list[Cells] = []
    for name, own in groups:
        for half in (FIT, TEST):
            chosen = [row for row in own if row.case.half == half]
            if chosen:
                lines.append([name, half, *cells(quality(chosen))])
    checked = measured(rows)
    lines += [
        [name, MEASURED, *cells(quality([row for row in checked if row.case.family == name]))]
        for name in _families(checked)
    ]
    return lines


def measured(rows: Iterable[Row]) -> list[Row]:
    """Single measurements that have a value of their own and a prediction."""
    return [row for row in rows if row.case.half == MEASURED and row.counts and row.figure.value == row.figure.value]


def checks(rows: list[Row]) -> str:
    """Every single measurement for a terminal, the worst first."""
    lines = []
    for row in sorted(measured(rows), key=lambda row: -abs(math.log(max(row.ratio, 1e-3)))):
        figure = row.figure
        said = f"{figure.low:g}" if figure.low == figure.high else f"{figure.low:g} to {figure.high:g}"
        name = row.case.name if row.case.family.endswith("trn2") else f"{row.case.name} ({row.case.family[-4:]})"
        lines.append(f"{row.ratio:6.2f} {row.predicted:10.1f}  {said + ' ' + figure.unit:22} {name}")
    return "\n".join(lines)


def _families(rows: list[Row]) -> list[str]:
    return sorted({row.case.family for row in rows})


def cells(q: Quality) -> Cells:
    """The numbers of `q` as texts."""
    held = "" if q.held is None else f"{100 * q.held:.0f} %"
    width = "" if q.width is None else f"{q.width:.2f}"
    shares = [f"{100 * q.error:.1f} %", f"{q.ratio:.2f}", f"{100 * q.near:.0f} %"]
    return [str(q.rows), str(q.numbers), *shares, f"{q.least:.2f}", f"{q.largest:.2f}", held, width]


def text(rows: list[Row]) -> str:
    """The table for a terminal, and what could not be predicted."""
    lines = [list(HEADINGS), *table(rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    said = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    missing = {f"{row.case.family}: {row.case.name}": row.error for row in rows if row.predicted is None}
    said += [f"no prediction: {name}: {error[:150]}" for name, error in missing.items()]
    return "\n".join(said)
