# SPDX-License-Identifier: Apache-2.0
"""A picture of a sweep: latency and tokens a second against tokens, a line a layout, or through the best layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nkimoe.cli.sweep.picture_lines import best_lines, layout_lines
from nkimoe.cli.sweep.row import SweepRow
from nkisim.report.pictures import ACCENT, COLOURS, new_figure, plain, save

LINE_COLOURS = (*dict.fromkeys((COLOURS["Tensor"], ACCENT, COLOURS["Scalar"], COLOURS["Vector"], COLOURS["GpSimd"])),
                COLOURS["DMA"], COLOURS["HBM"])  # fmt: skip
DASHES, MARKERS = ("-", "--"), "os^Dv*PXp"
MOST_LINES = len(LINE_COLOURS) * len(DASHES)


def draw(rows: Sequence[SweepRow], path: Path) -> None:
    """Write it. Of more layouts than can be told apart those that are fastest somewhere, or else first, are drawn; of
    rows that were not all predicted the best ones alone, the layout being the mark.

    Raises:
        PictureError: matplotlib is not installed, or the suffix is no picture's.
    """
    figure = new_figure(11, 5.2)
    figure.suptitle(", ".join(dict.fromkeys(row.labels["layer"] for row in rows)), fontsize="medium")
    left, right = figure.subplots(1, 2)
    all_predicted = all(row.is_done for row in rows)
    lines = layout_lines(rows, MOST_LINES) if all_predicted else best_lines(rows, MOST_LINES)
    costs = right.twinx() if any(row.cost_per_million_tokens is not None for row in rows) else None
    for number, (label, line) in enumerate(lines.items()):
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        style: dict[str, Any] = {"color": colour, "linestyle": DASHES[number // len(LINE_COLOURS)]}
        style |= {"marker": "o" if all_predicted else "", "markersize": 3, "linewidth": 1.4}
        _draw_line(left, right, costs, line, {**style, "label": label})
    if not all_predicted:
        _mark_layouts((left, right), lines)
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
        axis.set_major_formatter(lambda value, _: _written(value))
        axis.set_minor_formatter(lambda value, _: _written(value))
        axis.set_tick_params(which="both", labelsize="small")


def _written(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


def _mark_layouts(both: tuple[Any, Any], lines: dict[str, list[SweepRow]]) -> None:
    """A mark a layout, under which the line has its colour."""
    drawn = [(axis.get_color(), row) for axis, line in zip(both[0].lines, lines.values(), strict=True) for row in line]
    layouts = sorted({(row.labels["tp"], row.labels["ep"]) for _, row in drawn})
    for number, (tp, ep) in enumerate(layouts):
        those = [(c, row) for c, row in drawn if (row.labels["tp"], row.labels["ep"]) == (tp, ep)]
        found = [(c, row.tokens, row.prediction.latency_us) for c, row in those if row.prediction is not None]
        colours, tokens = [each[0] for each in found], [each[1] for each in found]
        style: dict[str, Any] = {"marker": MARKERS[number % len(MARKERS)], "s": 34, "zorder": 3}
        both[0].scatter(tokens, [us for _, _, us in found], c=colours, **style)
        both[1].scatter(tokens, [count / us for _, count, us in found], c=colours, **style)
        both[0].scatter([], [], color="black", label=f"tp {tp}, ep {ep}", **style)
