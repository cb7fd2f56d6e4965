"""Predictions of points, kept in a file that is written whenever one is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from choices.point import Point
from nkisim.report.files import write_whole
from nkisim.report.origin import made_by
from nkisim.timing import CLOCK

SCHEMA_VERSION = 2


class Kept:
    """Microseconds by key; None of points that were refused.

    Args:
        path: of the file; None: nothing is kept.

    Raises:
        click.UsageError: the file is of another schema, or another clock made it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._us = path, {}
        if path is not None and path.exists():
            report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for name, wanted in (("schema_version", SCHEMA_VERSION), ("clock", CLOCK)):
                if report.get(name) != wanted:
                    raise click.UsageError(f"{path} has {name} {report.get(name)}, not {wanted}: predict again")
            self._us = {tuple(row["key"]): row["us"] for row in report["rows"]}

    _us: dict[tuple[Any, ...], float | None]

    def find(self, point: Point) -> float | None:
        """The prediction, made if it is not there."""
        if point.key not in self._us:
            self._us[point.key] = point.predict()[0]
            self._write()
        return self._us[point.key]

    def has(self, point: Point) -> bool:
        """Whether it is there."""
        return point.key in self._us

    def _write(self) -> None:
        if self._path is not None:
            rows = [{"key": key, "us": us} for key, us in self._us.items()]
            write_whole(self._path, json.dumps({"schema_version": SCHEMA_VERSION, **made_by(), "rows": rows}) + "\n")
