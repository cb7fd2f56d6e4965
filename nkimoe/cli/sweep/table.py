# SPDX-License-Identifier: Apache-2.0
"""The table of a sweep on a terminal: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from nkimoe.cli.sweep.row import LAYOUT, SweepRow
from nkimoe.routing.made_up import UNIFORM
from nkisim.report.pictures import duration
from nkisim.report.tables import aligned

BEST = "★"
COUNTS = ("tokens", "tp", "ep", "block_size")  # labels that are numbers
NUMBERS = ("latency", "least to most", "tokens/s", "roofline", "HBM", "weight bytes")
SHOWN_WHILE_RUNNING = 12
FOLLOWS = "slots"  # from ep


def lines_of(rows: Sequence[SweepRow]) -> list[str]:
    """A line a row: what differs, what is predicted, or why nothing is; above them the names of the columns."""
    if not rows:
        return []
    names = ["tokens", *(name for name in LAYOUT if name != FOLLOWS and len({row.labels[name] for row in rows}) > 1)]
    has_uniform = any(row.uniform_us and row.labels["routing"] != UNIFORM.name for row in rows)
    has_cost = any(row.cost_per_million_tokens is not None for row in rows)
    extras = [name for name, is_there in (("of uniform", has_uniform), ("cost/Mtoken", has_cost)) if is_there]
    notes = {reason: number for number, reason in enumerate(_by_reason(rows), 1)}
    head = ["", *(name.replace("_", " ") for name in names), *NUMBERS, *extras, "bound by"]
    table = [head]
    for row in rows:
        cells = [BEST if row.is_best else "", *(_label(row.labels[name]) for name in names)]
        found = {**_predicted(row), **_compared(row)}
        if row.outcome.reason:
            found[NUMBERS[0]] = f"impossible ({notes[row.outcome.reason]})"
        elif row.prediction is None:
            found[NUMBERS[0]] = f"estimated {duration(row.point.estimated_us)}"
        table.append([*cells, *(found.get(name, "") for name in head[len(cells) :])])
    words = {"", "bound by", *(name.replace("_", " ") for name in names if name not in COUNTS)}
    return aligned(table, right=[n for n, name in enumerate(head) if name not in words])


def reasons(rows: Sequence[SweepRow]) -> Iterator[str]:
    """Why points are impossible: each reason once, with its number in the table, and how many points have it."""
    for number, (reason, those) in enumerate(_by_reason(rows).items(), 1):
        yield f"({number}) {len(those)} impossible: {reason}"


def _by_reason(rows: Sequence[SweepRow]) -> dict[str, list[SweepRow]]:
    found: dict[str, list[SweepRow]] = {}
    for row in rows:
        if row.outcome.reason:
            found.setdefault(row.outcome.reason, []).append(row)
    return found


@contextmanager
def live_table(console: Console) -> Iterator[LiveRows]:
    """The newest rows, and a bar with the time that remains."""
    columns = (
        TextColumn("points"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("remaining"),
        TimeRemainingColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=console)
    rows = LiveRows(bar)
    with Live(get_renderable=rows.picture, console=console, refresh_per_second=4, transient=True):
        yield rows


class LiveRows:
    """Rows that have been found so far.

    Attributes:
        bar: advances with each.
    """

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self._task = bar.add_task("points", total=None)
        self._rows: list[SweepRow] = []

    def expect(self, more: int) -> None:
        """So many rows, behind those that are there."""
        self.bar.update(self._task, total=len(self._rows) + more)

    def add(self, row: SweepRow) -> None:
        self._rows.append(row)
        self.bar.advance(self._task)

    def picture(self) -> Group:
        """The newest rows under each other, the bar below."""
        lines = lines_of(self._rows[-SHOWN_WHILE_RUNNING:])
        return Group(*(Text(line, no_wrap=True, overflow="crop") for line in lines), self.bar)


def _label(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _predicted(row: SweepRow) -> dict[str, str]:
    """By column."""
    found = row.prediction
    if found is None:
        return {}
    numbers = (
        duration(found.latency_us), f"{duration(found.low_us)} to {duration(found.high_us)}",
        f"{row.tokens / found.latency_us * 1e6:,.0f}", f"{found.roofline_us / found.latency_us:.0%}",
        f"{(found.hbm_read_bytes + found.hbm_written_bytes) / 1e6:,.0f} MB", f"{found.weight_bytes / 1e6:,.0f} MB",
    )  # fmt: skip
    return {**dict(zip(NUMBERS, numbers, strict=True)), "bound by": found.bound_by}


def _compared(row: SweepRow) -> dict[str, str]:
    """By column, as far as there is something to compare with."""
    ratio, cost = row.over_uniform, row.cost_per_million_tokens
    found = {
        "of uniform": None if ratio is None else f"{ratio:.2f}",
        "cost/Mtoken": None if cost is None else f"{cost:.3g}",
    }
    return {name: text for name, text in found.items() if text is not None}
