"""The results for people: lines, a summary, and the page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from statistics import median
from typing import Any

Row = dict[str, Any]
BEGIN, END = "<!-- generated from here -->\n", "<!-- to here -->\n"


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
    for name, own in _groups(rows):
        errors = [abs(math.log(row["ratio"])) for row in own]
        signed = median(math.log(row["ratio"]) for row in own)
        lines.append(
            f"{name}: {len(own)} rows, median error {100 * median(errors):.1f} %, median ratio "
            f"{math.exp(signed):.2f}, worst {math.exp(max(errors)):.2f}, {_far(errors)} beyond 1.5"
        )
    missing = sum(row["predicted"] is None for row in rows)
    return "\n".join([*lines, f"{missing} rows without a prediction" if missing else ""]).strip()


def _groups(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """The rows that count: all, and by group."""
    ordered = sorted(counted(rows), key=lambda row: row["group"])
    named = [(name, list(own)) for name, own in groupby(ordered, key=lambda row: row["group"])]
    return [("all", ordered), *named] if ordered else []


def _far(errors: list[float]) -> int:
    return sum(error > math.log(1.5) for error in errors)


def page(text: str, rows: list[Row]) -> str:
    """`text` with the part between the two marks made new.

    Raises:
        ValueError: there are no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has a line {BEGIN!r} and a line {END!r}")
    parts = ["", *_quality(rows), ""]
    for group, own in groupby(rows, key=lambda row: row["group"]):
        parts += [f"### {group[0].upper() + group[1:]}", "", *_table(list(own)), ""]
    return before + begin + "\n".join(parts) + "\n" + end + after


def _quality(rows: list[Row]) -> list[str]:
    lines = [
        "| rows that count | number | median error | median ratio | worst | beyond 1.5 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, own in _groups(rows):
        errors = [abs(math.log(row["ratio"])) for row in own]
        ratio = math.exp(median(math.log(row["ratio"]) for row in own))
        worst = max(own, key=lambda row: abs(math.log(row["ratio"])))["ratio"]
        lines.append(
            f"| {name} | {len(own)} | {100 * median(errors):.1f} % | {ratio:.2f} | {worst:.2f} | {_far(errors)} |"
        )
    return lines


def _table(rows: list[Row]) -> list[str]:
    lines = ["| what | number | predicted | published | ratio | |", "|---|---|--:|--:|--:|---|"]
    for row in rows:
        found = "none" if row["predicted"] is None else _number(row["predicted"])
        ratio = "" if row["predicted"] is None else f"{row['ratio']:.2f}"
        published = f"{_number(row['published'])} {row['unit']}"
        lines.append(f"| {row['name']} | {row['metric']} | {found} | {published} | {ratio} | {_remark(row)} |")
    sources = sorted({row["source"] for row in rows})
    return [*lines, "", "Published in: " + "; ".join(sources) + "."]


def _remark(row: Row) -> str:
    if row["predicted"] is None:
        return "not simulated: " + row["error"].split(";")[0].replace("|", "/")[:90]
    if row["fitted"]:
        return "fitted: " + ", ".join(row["fitted"])
    return "doubtful: " + row["doubt"] if row["doubt"] else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"
