"""Rows of sweeps as sections of a page, each under the line that finds them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean

from marked_page import grid

from sweeps.line import Row, Swept

HEADINGS = ["tokens", "weights", "variant", "block", "us", "roofline us", "of roofline", "bound by"]
_BF16, _FP8 = "bf16", "fp8-row"


def page_lines(best: Sequence[Swept], variants: Sequence[Swept]) -> list[str]:
    """What the best rows lie between, a section with the best of each layer, and one with all variants of each."""
    clocks = ", ".join(sorted({swept.clock for swept in (*best, *variants)}))
    found = [row for swept in best for row in swept.best]
    return [
        "", f"Clock {clocks}. {summary(found)}", "",
        "## At best", "", *(line for swept in best for line in section(swept, swept.best)),
        "## Every variant", "", *(line for swept in variants for line in section(swept, swept.predicted)),
    ]  # fmt: skip


def summary(rows: Sequence[Row]) -> str:
    """Two sentences about rows that are each the best of their kind."""
    reached = [row["of_roofline"] for row in rows]
    said = (
        f"At best {len(rows)} calls are predicted to reach {min(reached):.0%} to {max(reached):.0%} of their "
        f"rooflines, geometric mean {geometric_mean(reached):.0%}."
    )
    bf16, fp8 = ({(_layer(row), row["tokens"]): row for row in rows if row["weights"] == w} for w in (_BF16, _FP8))
    ratios = [fp8[key]["latency_us"] / bf16[key]["latency_us"] for key in bf16 if key in fp8]
    if not ratios:
        return said
    return (
        f"{said} With {_FP8} weights {len(ratios)} of them take {min(ratios):.2f} to {max(ratios):.2f} of the time "
        f"that they take with {_BF16}, geometric mean {geometric_mean(ratios):.2f}."
    )


def section(swept: Swept, rows: Sequence[Row]) -> list[str]:
    """Heading, line and table of a layer; and why variants are not in it."""
    first = swept.rows[0]
    lines = [f"### {_layer(first)}, {first['target']}", "", "```sh", str(swept.line), "```", ""]
    lines += [*grid(HEADINGS, [cells(row) for row in rows]), ""]
    for reason in dict.fromkeys(row["reason"] for row in swept.rows if row["reason"]):
        lines += [f"Impossible: {reason}", ""]
    return lines


def cells(row: Row) -> list[str]:
    """Of a row, under HEADINGS."""
    us = f"{row['latency_us']:,.0f} ({row['low_us']:,.0f} to {row['high_us']:,.0f})"
    return [
        f"{row['tokens']:,}", row["weights"], f"{row['variant']} {row['strategy']}".strip(), f"{row['block_size']}",
        us, f"{row['roofline_us']:,.0f}", f"{row['of_roofline']:.0%}", row["bound_by"],
    ]  # fmt: skip


def _layer(row: Row) -> str:
    """The model, and how ranks divide it."""
    ranks = "".join(f", {what.upper()} {row[what]}" for what in ("ep", "tp") if row[what] > 1)
    return f"{row['layer']}{ranks}"
