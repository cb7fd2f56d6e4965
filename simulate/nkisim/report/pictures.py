# SPDX-License-Identifier: Apache-2.0
"""What all pictures share: matplotlib, colours, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nkisim.report.files import replacing

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = {
    "Tensor": "#0072B2", "Vector": "#E69F00", "Scalar": "#009E73", "GpSimd": "#CC79A7", "Sync": "#7F7F7F",
    "DMA": "#56B4E9", "HBM": "#4D4D4D",
}  # fmt: skip
ACCENT = "#D55E00"
FORMATS = ("png", "svg", "pdf")


class PictureError(ValueError):
    """A picture cannot be drawn."""


def check_picture(path: str | Path) -> None:
    """Find out before the work whether a picture can be drawn.

    Raises:
        PictureError: matplotlib is not installed, or the suffix is none of FORMATS.
    """
    _figure_class()
    _format(path)


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, without a window.

    Raises:
        PictureError: matplotlib is not installed.
    """
    return _figure_class()(figsize=(width, height), dpi=150, layout="constrained")


def save(figure: Any, path: str | Path) -> None:
    """Write the figure as its suffix says: png, svg or pdf.

    Raises:
        PictureError: another suffix.
    """
    suffix = _format(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix)


def _format(path: str | Path) -> str:
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise PictureError(f"{path}: a picture is a .png, .svg or .pdf file")
    return suffix


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PictureError(f"pictures need matplotlib ({error}): pip install 'nkimoe[viz]'") from None
    return Figure


def plain(axes: Any) -> None:
    """Without the box around it."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def duration(us: float) -> str:
    """Microseconds or milliseconds with three digits."""
    return f"{us:.3g} us" if us < 1e3 else f"{us / 1e3:.3g} ms" if us < 1e6 else f"{us / 1e6:.3g} s"
