# SPDX-License-Identifier: Apache-2.0
"""A tuned table: rows by key, in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from nkimoe.errors import require
from nkimoe.planning.targets import TARGETS
from nkimoe.tuning.layer_key import LayerKey
from nkimoe.tuning.tuned_row import COLUMNS, TunedRow, row_of


class TunedRows:
    """The rows of a table for one target and number of cores, as operations look them up (`tuned=`)."""

    def __init__(self, rows: Iterable[TunedRow]) -> None:
        self._rows: dict[LayerKey, TunedRow] = {}
        for row in sorted(rows, key=lambda row: row.whole.us, reverse=True):
            self._rows[_any_activation(row.layer)] = row  # the fastest one last
            self._rows[row.layer] = row

    def row(self, layer: LayerKey) -> TunedRow | None:
        """The row for the bucket of the layer's tokens, else that of another activation; else of a smaller tier."""
        for bucket in layer.buckets():
            found = self._rows.get(bucket) or self._rows.get(_any_activation(bucket))
            if found is not None:
                return found
        return None


class TunedTable:
    """Rows, one a key."""

    def __init__(self, rows: Iterable[TunedRow] = ()) -> None:
        self._rows: dict[tuple[str, int, LayerKey], TunedRow] = {}
        for row in rows:
            self.add(row)

    def __iter__(self) -> Iterator[TunedRow]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, target: str, lnc: int, layer: LayerKey) -> TunedRow | None:
        """The row of exactly this key."""
        return self._rows.get((target, lnc, layer))

    def add(self, row: TunedRow) -> None:
        """Keep it, unless the row that is there is better."""
        there = self._rows.get(row.key)
        if there is None or row.is_better_than(there):
            self._rows[row.key] = row

    def on(self, target: str, lnc: int) -> TunedRows:
        """Its rows for a target and a number of cores. Raises RequestError for an unknown target."""
        require(target in TARGETS, "target", f"is {', '.join(TARGETS)}", repr(target), "Pass where the kernel runs.")
        require(lnc in (1, 2), "lnc", "is 1 or 2", repr(lnc), "Pass how many cores the kernel runs on.")
        return TunedRows(row for row in self if (row.target, row.lnc) == (target, lnc))


def read_table(path: str | Path) -> TunedTable:
    """The table of a file; of two rows with one key, the better one.

    Raises:
        RequestError: a column or value that cannot be, by its line. OSError: no such file.
    """
    with open(path, encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        columns, fix = tuple(lines.fieldnames or ()), "Tables of aiter are read by read_peer_table."
        require(columns == COLUMNS, f"{path}", f"has the columns {','.join(COLUMNS)}", ",".join(columns), fix)
        rows = []
        for line in lines:
            place = f"{path}, line {lines.line_num}"
            whole = None not in line and None not in line.values()
            require(whole, place, f"has {len(COLUMNS)} values", "another number", "Drop the line.")
            rows.append(row_of(line, place))
    return TunedTable(rows)


def _any_activation(layer: LayerKey) -> LayerKey:
    return replace(layer, act_type="")
