# SPDX-License-Identifier: Apache-2.0
"""A picture of a sweep: latency and tokens a second against tokens, a line a layout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nkimoe.cli.sweep.row import SweepRow
from nkisim.report.pictures import ACCENT, COLOURS, new_figure, plain, save

LINE_COLOURS = (*dict.fromkeys((COLOURS["Tensor"], ACCENT, COLOURS["Scalar"], COLOURS["Vector"], COLOURS["GpSimd"])),
                COLOURS["DMA"], COLOURS["HBM"])  # fmt: skip
DASHES = ("-", "--")
MOST_LINES = len(LINE_COLOURS) * len(DASHES)


def draw(rows: Sequence[SweepRow], path: Path) -> None:
    """Write it. Of more layouts than can be told apart those that are fastest somewhere, or else first, are drawn.

    Raises:
        PictureError: matplotlib is not installed, or the suffix is no picture's.
    """
    lines = _lines(rows)
    figure = new_figure(11, 5.2)
    left, right = figure.subplots(1, 2)
    costs = right.twinx() if any(row.cost_per_million_tokens is not None for row in rows) else None
    for number, (label, line) in enumerate(lines.items()):
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        style: dict[str, Any] = {"color": colour, "linestyle": DASHES[number // len(LINE_COLOURS)], "marker": "o"}
        style |= {"markersize": 3, "linewidth": 1.4}
        _draw_line(left, right, costs, line, {**style, "label": label})
    for axes, what in ((left, "predicted us of one layer; shaded: least to most"), (right, "million tokens a second")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("tokens")
        axes.set_ylabel(what)
        axes.set_xticks(sorted({row.tokens for row in rows}), minor=False)
        axes.set_xticks([], minor=True)
        _number(axes.xaxis, axes.yaxis)
        plain(axes)
    if costs is not None:
        costs.set_yscale("log")
        costs.set_ylabel("cost of a million tokens (thin)")
        _number(costs.yaxis)
        costs.spines["top"].set_visible(False)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small", frameon=False
    )
    save(figure, path)


def _draw_line(left: Any, right: Any, costs: Any, line: list[SweepRow], style: dict[str, Any]) -> None:
    tokens = [row.tokens for row in line]
    found = [row.prediction for row in line if row.prediction is not None]
    left.plot(tokens, [each.latency_us for each in found], **style)
    left.fill_between(
        tokens, [each.low_us for each in found], [each.high_us for each in found], color=style["color"], alpha=0.15,
        linewidth=0,
    )  # fmt: skip
    right.plot(tokens, [count / each.latency_us for count, each in zip(tokens, found, strict=True)], **style)
    if costs is not None:
        thin = {"linewidth": 0.7, "marker": "x", "label": None}
        costs.plot(tokens, [row.cost_per_million_tokens for row in line], **style | thin)


def _number(*axes: Any) -> None:
    """Ticks as people write numbers, those between decades, too."""
    for axis in axes:
        axis.set_major_formatter(lambda value, _: f"{value:,.4g}")
        axis.set_minor_formatter(lambda value, _: f"{value:,.4g}")
        axis.set_tick_params(which="both", labelsize="small")


def _lines(rows: Sequence[SweepRow]) -> dict[str, list[SweepRow]]:
    """Predicted rows by what was asked for beside tokens, in ascending tokens."""
    by_layout: dict[tuple[tuple[str, Any], ...], list[SweepRow]] = defaultdict(list)
    for row in rows:
        if row.prediction is not None:
            by_layout[tuple((name, value) for name, value in row.point.asked.items() if name != "tokens")].append(row)
    drawn = sorted(by_layout, key=lambda layout: not any(row.is_best for row in by_layout[layout]))[:MOST_LINES]
    values: dict[str, set[Any]] = defaultdict(set)
    for name, value in (pair for layout in drawn for pair in layout):
        values[name].add(value)
    found = {}
    for layout in drawn:
        words = [f"{name.replace('_', ' ')} {value}" for name, value in layout if len(values[name]) > 1]
        found[", ".join(words) or str(layout[0][1])] = sorted(by_layout[layout], key=lambda row: row.tokens)
    return found
