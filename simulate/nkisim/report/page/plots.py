# SPDX-License-Identifier: Apache-2.0
"""What all plots of a page share: bokeh, sizes, a time axis."""

from __future__ import annotations

import importlib.util
from typing import Any

from nkisim.report.pictures import PictureError

HEIGHT_OF_A_ROW = 26
HEIGHT = 320
LEFT_OF_TIME = 190  # pixels, so that the plots over time lie below each other


def check_page() -> None:
    """Find out before the work whether a page can be made.

    Raises:
        PictureError: bokeh is not installed.
    """
    if importlib.util.find_spec("bokeh") is None:
        raise PictureError("a page needs bokeh: pip install 'nkimoe[viz]'")


def new_plot(title: str, height: int, **options: Any) -> Any:
    """An empty plot as wide as the page, on the page's own background. Its colours of text are the page's script's."""
    from bokeh.plotting import figure

    plot = figure(
        title=title, height=height, sizing_mode="stretch_width", background_fill_alpha=0, border_fill_alpha=0,
        outline_line_alpha=0, toolbar_location="above", **options,
    )  # fmt: skip
    plot.title.visible = False  # the page shows it
    plot.toolbar.logo = None
    plot.grid.grid_line_alpha = 0.25
    return plot


def time_plot(title: str, height: int, time: Any, tooltips: list[tuple[str, str]], formatters: Any) -> Any:
    """A plot over the shared range of microseconds `time`, which pans and zooms in time alone."""
    from bokeh.models import BoxZoomTool, HoverTool, PanTool, ResetTool, WheelZoomTool

    zoom = WheelZoomTool(dimensions="width")
    hover = HoverTool(tooltips=tooltips, formatters=formatters)
    tools = [PanTool(dimensions="width"), zoom, BoxZoomTool(dimensions="width"), ResetTool(), hover]
    plot = new_plot(title, height, x_range=time, tools=tools, output_backend="canvas")
    plot.toolbar.active_drag = tools[0]
    plot.xaxis.axis_label = "predicted microseconds"
    plot.min_border_left = LEFT_OF_TIME
    return plot


def looked_up(names: list[str]) -> Any:
    """A formatter of tooltips: numbers of a column as these names, which the page then holds once."""
    from bokeh.models import CustomJSHover

    return CustomJSHover(args={"names": names}, code="return names[value]")


class Numbering:
    """Numbers of strings, in the order they come."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self._number.setdefault(text, len(self._number))

    @property
    def names(self) -> list[str]:
        return list(self._number)
