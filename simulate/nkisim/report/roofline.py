# SPDX-License-Identifier: Apache-2.0
"""The roofline as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nkisim.machine import Peaks, UsefulWork
from nkisim.report.pictures import ACCENT, COLOURS, duration, new_figure, plain, save


def save_roofline(path: str | Path, works: list[UsefulWork], latency_us: float, peaks: Peaks, cores: str) -> None:
    """Draw each of `works`, done in the predicted `latency_us`, under the roof of `peaks`."""
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    drawn = [work for work in works if work.flops and work.nbytes and latency_us]
    _roof(axes, peaks, [work.intensity for work in drawn])
    for number, work in enumerate(drawn):
        _dot(axes, work, latency_us, peaks, is_first=number == 0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_xlabel("floating point operations a byte of HBM traffic (FLOP/B)")
    axes.set_ylabel("TFLOP/s")
    axes.set_title(f"Roofline of {cores}: {duration(latency_us)} predicted by nkisim", loc="left", fontsize=11)
    axes.grid(which="major", color="0.92")
    axes.set_axisbelow(True)
    if drawn:
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    else:
        axes.text(0.02, 0.95, "no matrix products or no HBM traffic: nothing to place", transform=axes.transAxes)
    plain(axes)
    save(figure, path)


def _roof(axes: Any, peaks: Peaks, intensities: list[float]) -> None:
    low = min([peaks.ridge / 30, *(x / 3 for x in intensities)])
    high = max([peaks.ridge * 10, *(x * 3 for x in intensities)])
    x = np.array([low, peaks.ridge, high])
    y = np.minimum(x * peaks.gbps / 1e3, peaks.tflops)
    axes.plot(x, y, color="0.15", linewidth=2)
    axes.set_xlim(low, high)
    axes.set_ylim(y[0] / 3, peaks.tflops * 2.2)
    axes.annotate(f"{peaks.tflops:.0f} TFLOP/s {peaks.label}", (high, peaks.tflops), xytext=(-4, 5),
                  textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
    at = low**0.5 * peaks.ridge**0.5
    axes.annotate(f"{peaks.gbps:.0f} GB/s HBM", (at, at * peaks.gbps / 1e3), xytext=(-8, 4),
                  textcoords="offset points", ha="right", fontsize=9)  # fmt: skip


def _dot(axes: Any, work: UsefulWork, latency_us: float, peaks: Peaks, is_first: bool) -> None:
    tflops = work.flops / latency_us / 1e6
    share = peaks.least_us(work) / latency_us
    colour = ACCENT if is_first else COLOURS["Tensor"]
    roof = min(work.intensity * peaks.gbps / 1e3, peaks.tflops)
    axes.plot([work.intensity] * 2, [tflops, roof], color=colour, linestyle=":", linewidth=1)
    label = f"{work.label}: {tflops:.3g} TFLOP/s predicted, {100 * share:.0f}% of the roof there"
    axes.plot(work.intensity, tflops, "o", color=colour, markersize=8, label=label,
              markerfacecolor=colour if is_first else "white", markeredgewidth=1.8)  # fmt: skip
