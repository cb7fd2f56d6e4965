"""The table of a sweep on a terminal: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nkimoe.cli.sweep.row import LAYOUT, SweepRow
from nkisim.report.pictures import duration

BEST = "★"
SHOWN_WHILE_RUNNING = 12
FOLLOWS = "slots"  # from ep


def table_of(rows: Sequence[SweepRow]) -> Table:
    """A line a row: what differs, what is predicted, or why nothing is."""
    names = ["tokens", *(name for name in LAYOUT if name != FOLLOWS and len({row.labels[name] for row in rows}) > 1)]
    notes = {reason: number for number, reason in enumerate(_by_reason(rows), 1)}
    has_cost = any(row.cost_per_million_tokens is not None for row in rows)
    has_uniform = any(row.uniform_us and row.labels["routing"] != "uniform" for row in rows)
    table = Table(box=None, padding=(0, 1))
    table.add_column("")
    for name in names:
        table.add_column(
            name.replace("_", " "), justify="right" if name in ("tokens", "tp", "ep", "block_size") else "left"
        )
    for name in ("latency", "least to most", "tokens/s", "roofline", "HBM", "weights"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    for name, is_there in (("of uniform", has_uniform), ("cost/Mtoken", has_cost)):
        if is_there:
            table.add_column(name, justify="right")
    for row in rows:
        note = f"({notes[row.outcome.reason]})" if row.prediction is None else ""
        cells = [BEST if row.is_best else "", *(_label(row.labels[name]) for name in names)]
        cells += _predicted(row) or ["impossible", note, *[""] * 5]
        cells += [f"{found:.2f}" if (found := row.as_json()["over_uniform"]) else ""] if has_uniform else []
        cells += [f"{cost:.3g}" if (cost := row.cost_per_million_tokens) is not None else ""] if has_cost else []
        table.add_row(*cells, style="bold" if row.is_best else "dim" if row.prediction is None else None)
    return table


def reasons(rows: Sequence[SweepRow]) -> Iterator[str]:
    """Why points are impossible: each reason once, with its number in the table, and how many points have it."""
    for number, (reason, those) in enumerate(_by_reason(rows).items(), 1):
        yield f"({number}) {len(those)} impossible: {reason}"


def _by_reason(rows: Sequence[SweepRow]) -> dict[str, list[SweepRow]]:
    found: dict[str, list[SweepRow]] = {}
    for row in rows:
        if row.prediction is None:
            found.setdefault(row.outcome.reason, []).append(row)
    return found


@contextmanager
def live_table(total: int, console: Console) -> Iterator[LiveRows]:
    """The newest rows, and a bar with the time that remains."""
    columns = (
        TextColumn("points"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("remaining"),
        TimeRemainingColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=console)
    rows = LiveRows(bar, total)
    with Live(get_renderable=rows.picture, console=console, refresh_per_second=4, transient=True):
        yield rows


class LiveRows:
    """Rows that have been found so far.

    Attributes:
        bar: advances with each.
        total: how many there will be.
    """

    def __init__(self, bar: Progress, total: int) -> None:
        self.bar = bar
        self._task = bar.add_task("points", total=total)
        self._rows: list[SweepRow] = []

    def add(self, row: SweepRow) -> None:
        self._rows.append(row)
        self.bar.advance(self._task)

    def picture(self) -> Group:
        """The newest rows under each other, the bar below."""
        newest = self._rows[-SHOWN_WHILE_RUNNING:]
        return Group(*([table_of(newest)] if newest else []), self.bar)


def _label(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _predicted(row: SweepRow) -> list[str]:
    found = row.prediction
    if found is None:
        return []
    return [
        duration(found.latency_us), f"{duration(found.low_us)} to {duration(found.high_us)}",
        f"{row.tokens / found.latency_us * 1e6:,.0f}", f"{found.roofline_us / found.latency_us:.0%}",
        f"{(found.hbm_read_bytes + found.hbm_written_bytes) / 1e6:,.0f} MB", f"{found.weight_bytes / 1e6:,.0f} MB",
        found.bound_by,
    ]  # fmt: skip
