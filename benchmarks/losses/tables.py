"""Rows as a table for people and as lines of the documentation, beside those of an earlier file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import geometric_mean

from marked_page import grid
from rich.console import Console
from rich.table import Table

from losses.rows import Row

Earlier = Mapping[tuple[str, str, str, int], Row]
_HEADINGS = ("layer", "weights", "tokens", "us", "form", "of roofline", "lost to", "of earlier")
_SLOWER = 1.005
"""Of the earlier latency, from which a row is called slower."""


def show(rows: Sequence[Row], earlier: Earlier, console: Console) -> None:
    """A table a target, and a sentence about all rows."""
    for target in dict.fromkeys(row.target for row in rows):
        table = Table(title=f"{target}, two cores, predicted", title_justify="left")
        for heading in _HEADINGS:
            table.add_column(heading, justify="right" if heading in ("tokens", "us", "of earlier") else "left")
        for row in rows:
            if row.target == target:
                table.add_row(*_cells(row, earlier))
        console.print(table)
    console.print(summary(rows, earlier), highlight=False, markup=False)


def page_lines(rows: Sequence[Row], earlier: Earlier) -> list[str]:
    """The same for a page."""
    lines = ["", summary(rows, earlier), ""]
    for target in dict.fromkeys(row.target for row in rows):
        own = [_cells(row, earlier) for row in rows if row.target == target]
        headings = list(_HEADINGS if earlier else _HEADINGS[:-1])
        lines += [f"### {target}", "", *grid(headings, [cells[: len(headings)] for cells in own]), ""]
    return lines


def summary(rows: Sequence[Row], earlier: Earlier) -> str:
    """What all rows lie between; and how they compare with the earlier ones."""
    reached = [row.of_roofline[0] for row in rows]
    said = (
        f"{len(rows)} layers are predicted to reach {min(reached):.0%} to {max(reached):.0%} of their rooflines, "
        f"geometric mean {geometric_mean(reached):.0%}."
    )
    ratios = [row.nominal_us / earlier[row.key].nominal_us for row in rows if row.key in earlier]
    if not ratios:
        return said
    slower = sum(ratio > _SLOWER for ratio in ratios)
    return (
        f"{said} {len(ratios)} of them are in the earlier file, too: their latencies are {min(ratios):.2f} to "
        f"{max(ratios):.2f} of those there, geometric mean {geometric_mean(ratios):.2f}; "
        f"{slower or 'none'} of them slower."
    )


def _cells(row: Row, earlier: Earlier) -> list[str]:
    before = earlier.get(row.key)
    every = row.scenarios_us.values()
    nominal, least, most = row.of_roofline
    pairs = " pairs" if row.slots == "pairs" else ""
    return [
        row.layer, row.weights, f"{row.tokens:,}", f"{row.nominal_us:,.0f} ({min(every):,.0f} to {max(every):,.0f})",
        f"{row.variant}, B {row.block_size}{pairs}", f"{nominal:.0%} ({least:.0%} to {most:.0%})",
        ", ".join(f"{kind} {share:.0%}" for kind, share in row.losses()),
        f"{row.nominal_us / before.nominal_us:.2f}" if before else "",
    ]  # fmt: skip
