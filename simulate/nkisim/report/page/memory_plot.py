# SPDX-License-Identifier: Apache-2.0
"""On-chip memory over time: which tensor lies where, from its first use to its last."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.memory import MemoryRegion
from nkisim.observe import Capacity
from nkisim.observe.placement import Lifetime
from nkisim.report.counters import Stay, stays
from nkisim.report.page.plots import HEIGHT, Numbering, looked_up, time_plot
from nkisim.timing import Timeline

MOST_TENSORS = 6_000  # of a plot; the largest, by bytes and time


def memory_plot(timeline: Timeline, capacity: Capacity, core: int, buffer: MemoryRegion, time: Any) -> Any:
    """Bytes of a partition upwards, a bar a tensor; those of one kernel line have one colour."""
    from bokeh.models import NumeralTickFormatter

    found = sorted(
        stays(timeline, capacity, core, buffer), key=lambda stay: -stay.tensor.size * (stay.end - stay.begin)
    )
    shown, names = found[:MOST_TENSORS], Numbering()
    room = capacity.occupancy[core, buffer].capacity if (core, buffer) in capacity.occupancy else 1
    title = f"{buffer.value.upper()} of core {core}, {room:,} bytes a partition; places as the kernel was written"
    if len(shown) < len(found):
        title += f": the {len(shown):,} largest of {len(found):,} tensors"
    tips = [("tensor", "@name{custom}"), ("bytes a partition", "@size{0,0}"), ("from", "@left{0.000} us"),
            ("until", "@right{0.000} us")]  # fmt: skip
    plot = time_plot(title, HEIGHT, time, tips, {})
    used = max((stay.tensor.byte + stay.tensor.size for stay in found), default=room)
    plot.y_range.start, plot.y_range.end = 0, min(room, 1.1 * used)
    source = _source(shown, names)
    plot.quad(source=source, left="left", right="right", bottom="bottom", top="top", fill_color="colour",
              fill_alpha=0.8, line_color=None)  # fmt: skip
    plot.hover.formatters = {"@name": looked_up(names.names)}
    plot.yaxis.axis_label = "bytes of a partition"
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    return plot


def _source(shown: list[Stay], names: Numbering) -> Any:
    from bokeh.models import ColumnDataSource
    from bokeh.palettes import Category20_20

    lines, palette = Numbering(), [int(f"{colour[1:]}ff", 16) for colour in Category20_20]
    colours = [palette[lines(str(stay.tensor.storage.allocated_at)) % len(palette)] for stay in shown]
    bottom = np.array([stay.tensor.byte for stay in shown], np.float32)
    size = np.array([stay.tensor.size for stay in shown], np.float32)
    return ColumnDataSource({
        "left": np.array([stay.begin / 1e3 for stay in shown], np.float32),
        "right": np.array([stay.end / 1e3 for stay in shown], np.float32),
        "bottom": bottom, "top": bottom + size, "size": size, "colour": np.array(colours, np.uint32),
        "name": np.array([names(_name(stay.tensor)) for stay in shown], np.uint16),
    })  # fmt: skip


def _name(tensor: Lifetime) -> str:
    storage = tensor.storage
    shape = "x".join(map(str, storage.shape))
    return f"{storage.name or ''} {shape} {storage.dtype} {storage.allocated_at}".strip()
