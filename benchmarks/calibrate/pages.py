"""The tables of the documentation, made anew from rows."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from marked_page import grid, renewed

from calibrate.cases import MEASURED
from calibrate.measurements import sources, table
from calibrate.rows import Row
from calibrate.split import FIT, TEST
from calibrate.summary import HEADINGS, Cells
from calibrate.summary import table as quality_table

_HALVES = {FIT: "Fit", TEST: "Test"}


def page(text: str, rows: list[Row]) -> str:
    """`text` with the part between the two marks made new.

    Raises:
        ValueError: there are no marks.
    """
    kernels = [row for row in rows if row.case.half != MEASURED]
    parts = ["", *grid(list(HEADINGS), quality_table(rows)), "", *_launches(rows)]
    for half, title in _HALVES.items():
        parts += [f"### {title}: whole kernels", ""]
        parts += _families([row for row in kernels if row.case.half == half])
    parts += ["### Single measurements", "", *_measured(rows)]
    return renewed(text, parts)


def _launches(rows: list[Row]) -> list[str]:
    """What was added to bodies, by class."""
    counted = Counter((row.launch_class, row.launch) for row in rows if row.case.half != MEASURED)
    cells = [
        [name, str(count), f"{launch.nominal:.1f}", f"{launch.low:.1f} to {launch.high:.1f}"]
        for (name, launch), count in sorted(counted.items(), key=lambda item: item[0][0])
    ]
    return [*grid(["launch", "figures", "us", "range"], cells), ""]


def _families(rows: list[Row]) -> list[str]:
    lines = []
    ordered = sorted(rows, key=lambda row: row.case.family)
    for family, own in groupby(ordered, key=lambda row: row.case.family):
        listed = sorted(own, key=lambda row: row.case.name)
        headings = ["what", "number", "predicted", "interval", "published", "ratio", ""]
        lines += [f"#### {family}", "", *grid(headings, [_row(row) for row in listed]), ""]
        lines += ["Published in: " + "; ".join(sorted({row.case.source for row in listed})) + ".", ""]
    return lines


def _row(row: Row) -> Cells:
    figure = row.figure
    remark = f"doubtful: {figure.doubt}" if figure.doubt else row.case.remark
    published = f"{_number(figure.value)} {figure.unit}"
    if row.predicted is None:
        return [row.case.name, figure.reading, "none", "", published, "", f"not simulated: {_short(row.error)}"]
    interval = ""
    if row.interval is not None:
        low, high = row.interval
        interval = f"{_number(low)} to {_number(high)}{'' if row.holds else ', missed'}"
    return [
        row.case.name, figure.reading, _number(row.predicted), interval, published, f"{row.ratio:.2f}", remark
    ]  # fmt: skip


def _measured(rows: list[Row]) -> list[str]:
    """The table of measurements in its order, each with what is predicted, then what was refused."""
    by_name = {row.case.name: row for row in rows if row.case.half == MEASURED}
    checked, refused = [], []
    for entry in table():
        if entry.refused:
            refused.append([entry.what, entry.source, entry.refused])
        elif entry.value[0] == entry.value[0]:
            checked += [_check(by_name[name], entry.trust) for name in entry.figures() if name in by_name]
    headings = ["what", "device", "predicted", "measured", "ratio", "source", ""]
    tags = "Sources. " + " ".join(f"{tag}: {what}." for tag, what in sources().items())
    return [*grid(headings, checked), "", *grid(["refused", "source", "why"], refused), "", tags, ""]


def _check(row: Row, trust: str) -> Cells:
    figure = row.figure
    low, high = _number(figure.low), _number(figure.high)
    measured = f"{low if low == high else f'{low} to {high}'} {figure.unit}"
    device = row.case.family.rsplit(" ", 1)[-1]
    remark = "; ".join(part for part in ("" if trust == "high" else f"trust: {trust}", row.case.remark) if part)
    if row.predicted is None:
        return [row.case.name, device, "none", measured, "", row.case.source, _short(row.error)]
    return [
        row.case.name, device, _number(row.predicted), measured, f"{row.ratio:.2f}", row.case.source, remark
    ]  # fmt: skip


def _short(error: str) -> str:
    return error.split(";")[0][:90]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"
