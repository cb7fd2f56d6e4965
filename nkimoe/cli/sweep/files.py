# SPDX-License-Identifier: Apache-2.0
"""Rows as CSV, JSON and Parquet: the same columns, and what made them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nkimoe.cli.layer_data import SEED
from nkimoe.cli.sweep.judge import Verdict
from nkimoe.cli.sweep.row import COLUMNS, SweepRow
from nkisim.report.files import check_writable, replacing, write_whole
from nkisim.report.origin import made_by
from nkisim.report.pictures import PictureError, check_picture

SCHEMA_VERSION = 1
ORIGIN = ("nkimoe", "clock", "seed", "command")  # columns of CSV, which has no other place for them


def check_files(options: Mapping[str, Any], names: Iterable[str]) -> None:
    """Find out before the work whether the files of these options, tables and a picture, can be written.

    Raises:
        click.UsageError: not so.
    """
    for name in names:
        if options[name] is not None:
            _check_file(options[name], name)


def _check_file(path: Path, option: str) -> None:
    """One of them.

    Raises:
        click.UsageError: not so.
    """
    try:
        check_writable(path)
        if option == "parquet":
            import pyarrow.parquet  # noqa: F401
        if option == "picture":
            check_picture(path)
    except (OSError, PictureError) as error:
        raise click.UsageError(f"--{option} {error}") from None
    except ImportError as error:
        raise click.UsageError(f"--{option} needs pyarrow ({error}): pip install 'nkimoe[parquet]'") from None


def write_csv(path: Path, rows: Sequence[SweepRow]) -> None:
    """A line a row; empty where there is no value."""
    origin = {name: made_by(SEED)[name] for name in ORIGIN}
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *ORIGIN), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.as_json() | origin for row in rows)
    write_whole(path, text.getvalue())


def write_json(path: Path, rows: Sequence[SweepRow], verdicts: Sequence[Verdict]) -> None:
    """The rows, and why which is best."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "made_by": made_by(SEED),
        "rows": [row.as_json() for row in rows],
        "best": [{"row": verdict.best.as_json(), "why": verdict.why} for verdict in verdicts],
    }
    write_whole(path, json.dumps(document, indent=2) + "\n")


def write_parquet(path: Path, rows: Sequence[SweepRow]) -> None:
    """The columns; what made them is in the metadata of the schema."""
    import pyarrow
    import pyarrow.parquet

    origin = {name: str(value) for name, value in made_by(SEED).items()}
    columns = {name: [row.as_json()[name] for row in rows] for name in COLUMNS}
    table = pyarrow.table(columns).replace_schema_metadata({**origin, "schema_version": str(SCHEMA_VERSION)})
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
