# SPDX-License-Identifier: Apache-2.0
"""Engines and DMA queues over time: a bar an instruction, or where there are too many, one for neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkisim.report.page.plots import HEIGHT_OF_A_ROW, Numbering, looked_up, time_plot
from nkisim.report.pictures import COLOURS
from nkisim.report.prediction import Prediction
from nkisim.report.tracks import Slice, Track, tracks
from nkisim.timing import Timeline

MOST_BARS = 16_000
_GAPS = (0.0, *(2.0**n for n in range(24)))  # ns, tried in turn


@dataclass
class Bar:
    """Neighbouring slices of one opcode and line on a track, drawn as one.

    Attributes:
        begin, end: ns; count: slices in it; critical: whether one of them is on the critical path.
    """

    begin: int
    end: int
    task: int
    count: int
    critical: bool
    issues: bool


def timeline_plot(prediction: Prediction, time: Any) -> Any:
    """The plot. Hovering says opcode, line, begin and duration; a red edge is the critical path."""
    timeline, critical = prediction.timeline, {step.task for step in prediction.path.steps}
    found = tracks(timeline)
    rows, gap = _within_limit(timeline, found, critical)
    opcodes, lines = Numbering(), Numbering()
    labels = [track.title if timeline.cores == 1 else f"core {track.core}  {track.title}" for track in found]
    height = 100 + HEIGHT_OF_A_ROW * max(4, len(labels))
    tips = [("", "@opcode{custom} x @count"), ("line", "@line{custom}"), ("begin", "@left{0.000} us"),
            ("until", "@right{0.000} us"), ("on the critical path", "@critical{custom}")]  # fmt: skip
    plot = time_plot(_title(gap), height, time, tips, {})
    plot.y_range.start, plot.y_range.end = len(labels), 0
    for colour in dict.fromkeys(map(_colour, found)):
        chosen = [(y, bar) for y, track in enumerate(found) if _colour(track) == colour for bar in rows[y]]
        source = _source(timeline, chosen, opcodes, lines)
        plot.quad(source=source, left="left", right="right", top="top", bottom="bottom", fill_color=colour,
                  fill_alpha="alpha", line_color="edge", line_width=1.5)  # fmt: skip
    plot.hover.formatters = {
        "@opcode": looked_up(opcodes.names), "@line": looked_up(lines.names), "@critical": looked_up(["no", "yes"]),
    }  # fmt: skip
    plot.yaxis.ticker = [y + 0.5 for y in range(len(labels))]
    plot.yaxis.major_label_overrides = {y + 0.5: label for y, label in enumerate(labels)}
    plot.ygrid.visible = False
    return plot


def _title(gap: float) -> str:
    return "Engines and DMA queues" + (f"; neighbours up to {gap:g} ns apart are one bar" if gap else "")


def _colour(track: Track) -> str:
    return COLOURS.get(track.name, COLOURS["DMA"])


def _within_limit(timeline: Timeline, found: list[Track], critical: set[int]) -> tuple[list[list[Bar]], float]:
    """Bars of each track, and up to which gap neighbours are joined so that there are no more than MOST_BARS."""
    for gap in _GAPS:
        alike = gap < 2.0**12  # behind that, whatever lies side by side
        rows = [_bars(timeline, track.slices, critical, gap, alike) for track in found]
        if sum(map(len, rows)) <= MOST_BARS or gap == _GAPS[-1]:
            break
    return rows, gap


def _bars(timeline: Timeline, slices: list[Slice], critical: set[int], gap: float, alike: bool) -> list[Bar]:
    bars: list[Bar] = []
    for piece in slices:
        task, last = timeline.tasks[piece.task], bars[-1] if bars else None
        is_critical = piece.task in critical and not piece.issues
        if last is not None and gap and piece.begin - last.end <= gap:
            before = timeline.tasks[last.task]
            same = (before.opcode, before.location, last.issues) == (task.opcode, task.location, piece.issues)
            if same or not alike:
                last.end, last.count, last.critical = piece.end, last.count + 1, last.critical or is_critical
                continue
        bars.append(Bar(piece.begin, piece.end, piece.task, 1, is_critical, piece.issues))
    return bars


def _source(timeline: Timeline, chosen: list[tuple[int, Bar]], opcodes: Numbering, lines: Numbering) -> Any:
    from bokeh.models import ColumnDataSource

    tasks = [timeline.tasks[bar.task] for _, bar in chosen]
    issues = [bar.issues for _, bar in chosen]
    named = [f"issue {task.opcode}" if issue else task.opcode for task, issue in zip(tasks, issues, strict=True)]
    row = np.array([y for y, _ in chosen], np.float32)
    return ColumnDataSource({
        "left": np.array([bar.begin / 1e3 for _, bar in chosen], np.float32),
        "right": np.array([bar.end / 1e3 for _, bar in chosen], np.float32),
        "top": row + np.float32(0.1), "bottom": row + np.float32(0.9),
        "count": np.array([bar.count for _, bar in chosen], np.int32),
        "critical": np.array([bar.critical for _, bar in chosen], np.uint8),
        "alpha": np.where(issues, 0.5, 0.9).astype(np.float32),
        "edge": np.array([0xD55E00FF if bar.critical else 0 for _, bar in chosen], np.uint32),
        "opcode": np.array([opcodes(name) for name in named], np.uint16),
        "line": np.array([lines(str(task.location)) for task in tasks], np.uint16),
    })  # fmt: skip
