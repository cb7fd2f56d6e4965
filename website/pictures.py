"""Pictures of predicted runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib

from nkisim import Run

TEXT_STAYS_TEXT = {"svg.fonttype": "none"}  # smaller, and found by search


def timeline(run: Run) -> str:
    """What each engine does when, as SVG."""
    with tempfile.TemporaryDirectory() as folder, matplotlib.rc_context(TEXT_STAYS_TEXT):
        path = Path(folder) / "timeline.svg"
        run.profile.save_timeline(path)
        return path.read_text("utf-8")
