"""Pictures of predicted runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib

from nkisim import Run


def timeline(run: Run) -> str:
    """What each engine does when, as SVG."""
    as_text = matplotlib.rc_context({"svg.fonttype": "none"})  # which is smaller, and found by search
    with tempfile.TemporaryDirectory() as folder, as_text:
        path = Path(folder) / "timeline.svg"
        run.profile.save_timeline(path)
        return path.read_text("utf-8")
