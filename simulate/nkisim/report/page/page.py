# SPDX-License-Identifier: Apache-2.0
"""The page: everything inline, nothing fetched. Its own policy forbids the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from nkisim.machine import Peaks, UsefulWork, machine_peaks
from nkisim.memory import MemoryRegion
from nkisim.observe import Finding
from nkisim.report.files import write_whole
from nkisim.report.html import element
from nkisim.report.notebook import engine_table
from nkisim.report.origin import made_by
from nkisim.report.page.advice import Advice, advise
from nkisim.report.page.memory_plot import memory_plot
from nkisim.report.page.plots import check_page
from nkisim.report.page.roofline_plot import roofline_plot
from nkisim.report.page.source_tables import link, source_tables
from nkisim.report.page.timeline_plot import timeline_plot
from nkisim.report.pictures import duration
from nkisim.report.summary import Profile
from nkisim.report.text import RESOURCE_NAMES, describe_constants, describe_headline, describe_orders, describe_path

POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Attributes:
        title: of the page.
        facts: more rows for the top of it, names and texts.
        useful: what the kernel is for, if somebody knows; peaks: of the roofline, by default those of bf16.
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    useful: UsefulWork | None = None
    peaks: Peaks | None = None


def save_page(path: str | Path, profile: Profile, findings: Sequence[Finding], subject: Subject) -> None:
    """Write the page.

    Raises:
        PictureError: bokeh is not installed. ArgumentError: the simulator ran without the time model.
    """
    check_page()
    write_whole(path, "".join(_page(profile, findings, subject)))


def _page(profile: Profile, findings: Sequence[Finding], subject: Subject) -> Iterator[str]:
    from bokeh.embed import components
    from bokeh.resources import Resources

    models = _plots(profile, subject)
    script, roots = components(models)
    plots = {name: _figure(models[name].title.text, roots[name]) for name in models}
    yield "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    yield f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\">"
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    yield f"{element('title', subject.title)}<style>{_text('page.css')}</style>"
    yield f"{Resources(mode='inline', components=['bokeh']).render()}</head><body><main>"
    yield element("h1", subject.title)
    yield from _summary(profile, findings, subject)
    yield from _advice(profile, advise(profile))
    yield _text("controls.html")
    yield from (plots[name] for name in plots if name != "roofline")
    yield f"<h2 id='roofline'>Roofline</h2>{plots['roofline']}"
    yield f"<h2 id='source'>Source</h2>{element('p', _ABOUT_SOURCE)}"
    yield from source_tables(profile.prediction)
    yield f"</main>{script}<script>{_text('page.js')}</script></body></html>\n"


def _figure(title: str, plot: str) -> str:
    """A plot below its title, which unlike the plot's own is broken into lines where the page is narrow."""
    return f"<figure>{element('figcaption', title)}{plot}</figure>"


_ABOUT_ADVICE = (
    "By what the prediction loses if that resource alone costs half: little where another is as busy. "
    "The words are hints."
)
_ABOUT_SOURCE = (
    "Critical: the line's part of the critical path. Busy: time its instructions are at work, overlapping ones each "
    "for itself. Waits: time its queues had nothing to do until it was issued, for whom and why."
)


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _plots(profile: Profile, subject: Subject) -> dict[str, Any]:
    """By name, in the order of the page; those over time share one range, which is called `time`."""
    from bokeh.models import Range1d

    timeline = profile.prediction.timeline
    time = Range1d(0, max(profile.latency_us, 1e-3), name="time", bounds=(0, max(profile.latency_us, 1e-3)))
    plots = {"timeline": timeline_plot(profile.prediction, time)}
    for core in range(timeline.cores):
        for buffer in (MemoryRegion.sbuf, MemoryRegion.psum):
            plots[f"{buffer.value} {core}"] = memory_plot(timeline, profile.capacity, core, buffer, time)
    works = [profile.executed] if subject.useful is None else [subject.useful, profile.executed]
    peaks = subject.peaks or machine_peaks(timeline.machine, timeline.cores)
    return {**plots, "roofline": roofline_plot(works, profile.latency_us, peaks)}


def _summary(profile: Profile, findings: Sequence[Finding], subject: Subject) -> Iterator[str]:
    origin = made_by()
    rows = [
        *subject.facts,
        ("predicted", describe_headline(profile)),
        ("orders", describe_orders(profile)),
        ("critical path", describe_path(profile)),
        ("constants", f"{describe_constants(profile)}: what the predicted time rests on"),
        ("HBM", f"{profile.hbm_read / 1e6:,.2f} MB read, {profile.hbm_written / 1e6:,.2f} MB written"),
        (
            "on chip",
            f"SBUF peak {profile.sbuf_peak_bytes:,} bytes a partition, PSUM peak {profile.psum_peak_banks} banks",
        ),
        ("made by", f"nkimoe {origin['nkimoe']}, clock {origin['clock']}: {origin['command']}"),
    ]
    items = "".join(f"{element('dt', name)}{element('dd', text)}" for name, text in rows)
    yield f"<dl>{items}</dl>{engine_table(profile)}<h2 id='findings'>Findings</h2>"
    yield (f"<ul>{''.join(element('li', finding) for finding in findings)}</ul>" if findings else element("p", "None."))


def _advice(profile: Profile, found: list[Advice]) -> Iterator[str]:
    latency = profile.latency_us or 1.0
    yield "<h2 id='advice'>What to change first</h2>"
    yield element("p", _ABOUT_ADVICE)
    yield "<ol>"
    for each in found:
        gain = (
            f"gain {duration(each.gain_us)} ({100 * each.gain_us / latency:.0f}%)"
            if each.gain_us > 0
            else "no gain alone"
        )
        words = f"{RESOURCE_NAMES[each.resource]}, {100 * each.share:.0f}% of the critical path, {gain}"
        lines = ", ".join(map(link, each.lines))
        yield f"<li>{element('b', words)}. {escape(each.text)}{f' Most at {lines}.' if lines else ''}</li>"
    yield "</ol>"
