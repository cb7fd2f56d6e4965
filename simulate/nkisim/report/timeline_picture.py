# SPDX-License-Identifier: Apache-2.0
"""The schedule as a picture: how busy each engine is over the run, and a window of single instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nkisim.report.counters import done_until
from nkisim.report.pictures import ACCENT, COLOURS, duration, new_figure, plain, save
from nkisim.report.prediction import Prediction
from nkisim.report.tracks import Slice, Track, tracks
from nkisim.timing import Timeline
from nkisim.timing.costs import Transfer

FEW_SLICES = 300  # a window shows about so many; a run of twice as many has an overview, too
_BINS = 400
Row = tuple[int, str, list[list[Slice]]]


def save_timeline(path: str | Path, prediction: Prediction) -> None:
    """Draw the predicted schedule. A long one has two parts: the whole run, and a window in the middle of it."""
    rows = _rows(tracks(prediction.timeline))
    count = sum(len(lane) for _, _, lanes in rows for lane in lanes)
    is_long = count > 2 * FEW_SLICES
    height = 1.1 + 0.42 * len(rows) * (2 if is_long else 1)
    figure = new_figure(10, height)
    panels = figure.subplots(2 if is_long else 1, 1, squeeze=False)[:, 0]
    latency = prediction.timeline.latency_ns
    start, end = _window(rows, latency, FEW_SLICES / count) if is_long else (0.0, latency)
    if is_long:
        _overview(panels[0], rows, prediction.timeline)
        panels[0].axvspan(start / 1e3, end / 1e3, color=ACCENT, alpha=0.25, linewidth=0)
        panels[1].set_title("The marked window, instruction by instruction", loc="left", fontsize=10)
    _instructions(panels[-1], rows, start, end, {step.task for step in prediction.path.steps})
    panels[0].set_title(
        f"{duration(latency / 1e3)} on {prediction.timeline.machine.name}, predicted by nkisim"
        + ("; height: share of the time an engine is busy, of DMA the mean of its engines" if is_long else ""),
        loc="left", fontsize=10,
    )  # fmt: skip
    panels[-1].set_xlabel("us from the first instruction; red below: on the critical path")
    save(figure, path)


def _rows(found: list[Track]) -> list[Row]:
    """One row an engine and one for all transfers of a core, in lanes."""
    rows: dict[tuple[int, str], list[list[Slice]]] = {}
    for track in found:
        name = track.name if track.name in COLOURS else "DMA"
        rows.setdefault((track.core, name), []).append(track.slices)
    order = list(COLOURS)
    keys = sorted(rows, key=lambda key: (key[0], order.index(key[1])))
    return [(core, name, _packed(rows[core, name])) for core, name in keys]


def _packed(lanes: list[list[Slice]]) -> list[list[Slice]]:
    """As few lanes as possible."""
    packed: list[list[Slice]] = []
    for piece in sorted((s for lane in lanes for s in lane), key=lambda s: s.begin):
        lane = next((lane for lane in packed if lane[-1].end <= piece.begin), None)
        if lane is None:
            packed.append([piece])
        else:
            lane.append(piece)
    return packed


def _window(rows: list[Row], latency: float, share: float) -> tuple[float, float]:
    """The middle of the run by instructions; wide enough for about FEW_SLICES of them."""
    begins = np.sort([piece.begin for _, _, lanes in rows for lane in lanes for piece in lane])
    middle, half = len(begins) // 2, max(1, int(share * len(begins) / 2))
    start, end = float(begins[middle - half]), float(begins[middle + half])
    width = max(end - start, latency / 200)
    return start, min(latency, start + width)


def _overview(axes: Any, rows: list[Row], timeline: Timeline) -> None:
    latency = timeline.latency_ns
    edges = np.linspace(0, latency, _BINS + 1)
    for level, (_, name, lanes) in enumerate(reversed(rows)):
        work = _transfers(timeline, lanes) if name == "DMA" else _union(lanes)
        begin, end, busy = np.array(work, float).T
        share = np.clip(np.diff(done_until(edges, begin, end, busy)) / np.diff(edges), 0, 1)
        axes.stairs(level + 0.85 * share, edges / 1e3, baseline=level, fill=True, color=COLOURS[name])
    _label(axes, rows, 0.0, latency)


def _transfers(timeline: Timeline, lanes: list[list[Slice]]) -> list[tuple[int, int, float]]:
    """Begin, end, and time of work of each transfer, the mean over the DMA engines."""
    costs = [(s, timeline.costs[timeline.tasks[s.task].work]) for lane in lanes for s in lane]
    return [(s.begin, s.end, sum(c.engines) / len(c.engines)) for s, c in costs if isinstance(c, Transfer)]


def _union(lanes: list[list[Slice]]) -> list[tuple[int, int, int]]:
    """Begin, end, and length of each stretch in which any lane is busy."""
    union: list[tuple[int, int]] = []
    for piece in sorted((s for lane in lanes for s in lane), key=lambda s: s.begin):
        if union and piece.begin <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], piece.end)
        else:
            union.append((piece.begin, piece.end))
    return [(begin, end, end - begin) for begin, end in union]


def _instructions(axes: Any, rows: list[Row], start: float, end: float, critical: set[int]) -> None:
    for level, (_, name, lanes) in enumerate(reversed(rows)):
        shown = [[s for s in lane if s.end > start and s.begin < end] for lane in lanes]
        shown = [lane for lane in shown if lane]
        for number, lane in enumerate(shown):
            height = 0.85 / len(shown)
            low = level + number * height
            bars = [(s.begin / 1e3, (s.end - s.begin) / 1e3) for s in lane]
            axes.broken_barh(bars, (low, 0.92 * height), facecolor=COLOURS[name], edgecolor="white", linewidth=0.3)
            marked = [bar for bar, s in zip(bars, lane, strict=True) if s.task in critical and not s.issues]
            axes.broken_barh(marked, (low, 0.18 * height), facecolor=ACCENT)
    _label(axes, rows, start, end)


def _label(axes: Any, rows: list[Row], start: float, end: float) -> None:
    cores = 1 + max((core for core, _, _ in rows), default=0)
    names = [name if cores == 1 else f"{name} {core}" for core, name, _ in reversed(rows)]
    axes.set_yticks([level + 0.42 for level in range(len(rows))], names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    for level, (core, _, _) in enumerate(reversed(rows)):
        if level and core != rows[len(rows) - level][0]:
            axes.axhline(level - 0.07, color="0.6", linewidth=0.8)
    axes.set_xlim(start / 1e3, max(end, start + 1) / 1e3)
    axes.set_ylim(-0.1, max(1, len(rows)))
    plain(axes)
