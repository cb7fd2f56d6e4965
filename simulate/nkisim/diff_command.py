# SPDX-License-Identifier: Apache-2.0
"""`nkisim diff`: two files of predictions side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from nkisim.command_help import Amount, SectionedCommand, examples
from nkisim.report.difference import Difference

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEEDED = ("latency_us", "interval_us", "critical_path_us", "engines", "lines")


@click.command(cls=SectionedCommand, epilog=examples(
    "nkisim diff before.json after.json", "nkisim diff main.json branch.json --at-most 2"
))  # fmt: skip
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option("--at-most", type=Amount(0), metavar="PERCENT", help="Exit status 1 if AFTER is slower by more.")
def diff(before: Path, after: Path, at_most: float | None) -> None:
    """What got slower or faster from BEFORE to AFTER, files of `nkisim run --json` or `nkimoe run --json`."""
    predictions = _predicted(before), _predicted(after)
    try:
        found = Difference(*predictions)
        click.echo(str(found))
    except (TypeError, KeyError, AttributeError, ValueError, ZeroDivisionError) as error:
        actual = f"{type(error).__name__}: {error}"
        raise click.UsageError(f"{before} or {after}: is no result of run --json: {actual}") from None
    if at_most is not None and found.ratio > 1 + at_most / 100:
        sys.exit(1)


def _predicted(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
        predicted: dict[str, Any] = document["predicted"]
        missing = [key for key in _NEEDED if key not in predicted] + [
            key for key in ("stage", "source") if any(key not in line for line in predicted.get("lines", []))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise click.UsageError(f"{path}: is no result of run --json: {type(error).__name__}: {error}") from None
    if missing:
        raise click.UsageError(f"{path}: has no {', '.join(missing)}: write it again with run --json")
    return predicted
