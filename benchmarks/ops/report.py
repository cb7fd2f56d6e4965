"""Rows of benchmarks as a table, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nkisim.report.origin import made_by

Row = Mapping[str, Any]


def as_csv(rows: Sequence[Row]) -> str:
    """The columns of the rows, and in each what made it: version, clock, command."""
    origin = {name: value for name, value in made_by().items() if name != "seed"}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *origin], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _exact(value) for name, value in row.items()} | origin for row in rows)
    return text.getvalue()


def as_json(benches: Mapping[str, Sequence[Row]], device: str) -> dict[str, Any]:
    """By benchmark."""
    return {"made_by": made_by(), "time": "predicted, not measured", "device": device, "benches": benches}


def as_lines(rows: Iterable[Row], columns: Sequence[str]) -> list[str]:
    """Those columns, under their names."""
    cells = [columns, *([_short(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def _exact(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _short(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
