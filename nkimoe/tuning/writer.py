# SPDX-License-Identifier: Apache-2.0
"""Rows go into the file of a tuned table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from nkimoe.tuning.table import TunedTable, read_table
from nkimoe.tuning.tuned_row import COLUMNS, TunedRow
from nkisim.report.files import write_whole


def add_to_table(path: str | Path, rows: Iterable[TunedRow]) -> TunedTable:
    """The table of a file, which need not be there yet, with these rows: written as a whole, and returned.

    Raises:
        RequestError: the file is no table. OSError: it cannot be written.
    """
    table = read_table(path) if Path(path).exists() else TunedTable()
    for row in rows:
        table.add(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.as_text() for row in table)
    write_whole(path, text.getvalue())
    return table
