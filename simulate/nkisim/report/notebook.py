# SPDX-License-Identifier: Apache-2.0
"""A run as tables of a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from nkisim.observe import Finding
from nkisim.report.html import element, table
from nkisim.report.pictures import duration
from nkisim.report.source_text import line_text
from nkisim.report.summary import Profile
from nkisim.report.text import describe_counts, describe_headline, describe_path


def run_as_html(profile: Profile, findings: Sequence[Finding]) -> str:
    """Headline, engines, critical path, the lines that cost most, and findings. Without the time model, the counts."""
    parts = [element("p", describe_counts(profile))]
    if profile.timer is not None:
        parts = [
            element("p", describe_headline(profile)),
            engine_table(profile),
            element("p", f"critical path: {describe_path(profile)}"),
            line_table(profile),
            *parts,
        ]
    if findings:
        parts.append("<ul>" + "".join(element("li", finding) for finding in findings) + "</ul>")
    return f"<div>{''.join(parts)}</div>"


def engine_table(profile: Profile) -> str:
    """Predicted use of each engine."""
    rows = [
        (name, duration(use.busy_us), f"{100 * use.utilization:.0f}%", f"{use.instructions:,}")
        for name, use in profile.engines.items()
    ]
    return table(("engine", "busy", "share", "instructions"), rows, "Engines, the mean of the cores", range(1, 4))


def line_table(profile: Profile) -> str:
    """The lines that cost most."""
    rows = [
        (duration(line.critical_ns / 1e3), duration(line.busy_ns / 1e3), line.location, line_text(line.location))
        for line in profile.lines
    ]
    return table(("critical", "busy", "line", "source"), rows, "Lines that cost most", (0, 1))
