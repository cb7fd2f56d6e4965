# SPDX-License-Identifier: Apache-2.0
"""Which rows of a sweep make a line of its picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from nkimoe.cli.sweep.judge import KIND
from nkimoe.cli.sweep.row import SweepRow

Names: TypeAlias = tuple[tuple[str, Any], ...]
"""What rows of a line have in common: labels and their values."""


def layout_lines(rows: Sequence[SweepRow], most: int) -> dict[str, list[SweepRow]]:
    """Predicted rows by what was asked for beside tokens, in ascending tokens, a label each."""
    by_layout: dict[Names, list[SweepRow]] = defaultdict(list)
    for row in rows:
        if row.prediction is not None:
            by_layout[tuple((name, value) for name, value in row.point.asked.items() if name != "tokens")].append(row)
    drawn = sorted(by_layout, key=lambda layout: not any(row.is_best for row in by_layout[layout]))[:most]
    return _labelled({layout: by_layout[layout] for layout in drawn})


def best_lines(rows: Sequence[SweepRow], most: int) -> dict[str, list[SweepRow]]:
    """The best rows of the same layer, routing, weights and machine, in ascending tokens, a label each."""
    by_kind: dict[Names, list[SweepRow]] = defaultdict(list)
    for row in rows:
        by_kind[tuple((name, row.labels[name]) for name in KIND)] += [row] * row.is_best
    drawn = [kind for kind, line in by_kind.items() if line][:most]
    return _labelled({kind: by_kind[kind] for kind in drawn})


def _labelled(lines: dict[Names, list[SweepRow]]) -> dict[str, list[SweepRow]]:
    """By what differs between them."""
    values: dict[str, set[Any]] = defaultdict(set)
    for name, value in (pair for names in lines for pair in names):
        values[name].add(value)
    found = {}
    for names, line in lines.items():
        words = [f"{name.replace('_', ' ')} {value}" for name, value in names if len(values[name]) > 1]
        found[", ".join(words) or str(names[0][1])] = sorted(line, key=lambda row: row.tokens)
    return found
