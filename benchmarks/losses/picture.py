"""How near each layer comes to its roofline, and what it loses, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from losses.rows import Row
from nkisim.report.pictures import ACCENT, COLOURS, new_figure, save

_ROW_INCHES, _WIDTH, _MARGIN = 0.24, 9.0, 1.2


def draw(rows: Sequence[Row], path: str | Path) -> None:
    """A bar a row: the fraction of the roofline, with its interval over orders and corners.

    Raises:
        nkisim.report.pictures.PictureError: matplotlib is not installed, or the suffix is no picture's.
    """
    figure = new_figure(_WIDTH, _MARGIN + _ROW_INCHES * len(rows))
    axes = figure.subplots()
    places = range(len(rows))
    found = [row.of_roofline for row in rows]
    nominal = [100 * each[0] for each in found]
    below, above = ([100 * abs(each[0] - each[end]) for each in found] for end in (1, 2))
    axes.barh(places, nominal, color=[COLOURS["DMA" if row.target == "trn2" else "Scalar"] for row in rows])
    axes.errorbar(nominal, places, xerr=[below, above], fmt="none", ecolor=ACCENT, elinewidth=1, capsize=2)
    names = [f"{row.layer} {row.weights}, {row.tokens:,} tokens ({row.target})" for row in rows]
    axes.set_yticks(places, names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the roofline, predicted; lines: over both orders and the corners of the machine file")
    axes.grid(axis="x", linewidth=0.4)
    axes.set_axisbelow(True)
    save(figure, path)
