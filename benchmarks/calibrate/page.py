"""The results for people: lines, a summary, and the page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from statistics import median
from typing import Any

Row = dict[str, Any]


def line(row: Row) -> str:
    """One row, for a terminal."""
    name = f"{row['group']}: {row['name']}, {row['metric']}"
    if row["predicted"] is None:
        return f"{name:76} no prediction: {row['error'][:200]}"
    mark = "fitted" if row["fitted"] else "doubt" if row["doubt"] else ""
    return f"{name:76} {row['predicted']:10.2f} {row['published']:10.2f} {row['unit']:3} {row['ratio']:6.2f} {mark}"


def counted(rows: Iterable[Row]) -> list[Row]:
    """The rows that say how good the predictions are: not fitted, not doubtful."""
    return [row for row in rows if row["predicted"] is not None and not row["fitted"] and not row["doubt"]]


def summary(rows: list[Row]) -> str:
    """Counts, median and worst error, of all rows and of each group."""
    lines = []
    ordered = sorted(counted(rows), key=lambda row: row["group"])
    groups = [("all", ordered), *((name, list(own)) for name, own in groupby(ordered, key=lambda row: row["group"]))]
    for name, own in groups:
        if own:
            errors = [abs(math.log(row["ratio"])) for row in own]
            far = sum(error > math.log(1.5) for error in errors)
            signed = median(math.log(row["ratio"]) for row in own)
            lines.append(
                f"{name}: {len(own)} rows, median error {100 * median(errors):.1f} %, median ratio "
                f"{math.exp(signed):.2f}, worst ratio {math.exp(max(errors)):.2f}, {far} beyond 1.5"
            )
    missing = sum(row["predicted"] is None for row in rows)
    return "\n".join([*lines, f"{missing} rows without a prediction" if missing else ""]).strip()


def page(rows: list[Row]) -> str:
    """The generated part of the documentation."""
    raise NotImplementedError
