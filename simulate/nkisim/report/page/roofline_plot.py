# SPDX-License-Identifier: Apache-2.0
"""The roofline of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nkisim.machine import Peaks, UsefulWork
from nkisim.report.page.plots import HEIGHT, new_plot
from nkisim.report.pictures import ACCENT, COLOURS

SPAN = 100.0


def roofline_plot(works: Sequence[UsefulWork], latency_us: float, peaks: Peaks) -> Any:
    """Where each of `works` lies, done in the predicted time, under the roof of `peaks`."""
    from bokeh.models import ColumnDataSource, HoverTool, LabelSet

    drawn = [work for work in works if work.flops and work.nbytes and latency_us]
    at = [peaks.ridge, *(work.intensity for work in drawn)]
    low, high = min(at) / SPAN, max(at) * SPAN
    x = np.geomspace(low, high, 200)
    plot = new_plot(
        "Operations a second, by operations a byte",
        HEIGHT,
        x_axis_type="log",
        y_axis_type="log",
        tools="pan,box_zoom,reset",
    )
    roof = np.minimum(x * peaks.gbps / 1e3, peaks.tflops)
    plot.line(x, roof, line_width=2, line_color="#888888",
              legend_label=f"{peaks.tflops:.0f} TFLOP/s {peaks.label}, {peaks.gbps:.0f} GB/s HBM")  # fmt: skip
    source = ColumnDataSource({
        "intensity": [work.intensity for work in drawn],
        "tflops": [work.flops / latency_us / 1e6 for work in drawn],
        "share": [100 * peaks.least_us(work) / latency_us for work in drawn],
        "label": [work.label for work in drawn],
        "colour": [ACCENT if work is drawn[0] else COLOURS["Tensor"] for work in drawn],
    })  # fmt: skip
    dots = plot.scatter("intensity", "tflops", source=source, size=12, fill_color="colour", line_color=None)
    plot.add_layout(LabelSet(x="intensity", y="tflops", text="label", x_offset=9, y_offset=-6, source=source))
    tips = [("", "@label"), ("TFLOP/s, predicted", "@tflops{0.00}"), ("of the roof there", "@share{0.0}%"),
            ("operations a byte", "@intensity{0.0}")]  # fmt: skip
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    plot.xaxis.axis_label = "floating point operations a byte of HBM traffic"
    plot.yaxis.axis_label = "TFLOP/s"
    plot.legend.location = "bottom_right"
    plot.legend.background_fill_alpha = 0
    plot.legend.border_line_alpha = 0
    return plot
