"""Pictures of predicted runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib

from nkisim import Run

matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: smaller, and found by search


def timeline(run: Run) -> str:
    """What each engine does when, as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "timeline.svg"
        run.profile.save_timeline(path)
        return path.read_text("utf-8")
