"""The kernel's source with what each line costs: a table a stage."""

from __future__ import annotations

import linecache
from collections import defaultdict
from collections.abc import Iterator, Mapping
from html import escape

from nkisim.errors import Location
from nkisim.report.html import element
from nkisim.report.pictures import duration
from nkisim.report.prediction import Prediction
from nkisim.report.source_text import lines_of_function, stage_of
from nkisim.timing.source_lines import SourceLine
from nkisim.timing.waits import Wait, waits

MOST_STAGES, MOST_LINES, OPEN = 60, 200, 3
MOST_CAUSES = 2
_HEAD = ("line", "critical", "busy", "instructions", "waits", "source")


def source_tables(prediction: Prediction) -> Iterator[str]:
    """Stages by their time on the critical path, those that take most open."""
    stages: dict[str, list[SourceLine]] = defaultdict(list)
    for line in prediction.all_lines:
        stages[stage_of(line.location)].append(line)
    order = sorted(stages, key=lambda name: -sum(line.critical_ns for line in stages[name]))
    waited = waits(prediction.timeline)
    total = prediction.timeline.latency_ns or 1.0
    for number, name in enumerate(order[:MOST_STAGES]):
        critical = sum(line.critical_ns for line in stages[name])
        summary = f"{name}: {duration(critical / 1e3)}, {100 * critical / total:.1f}% of the critical path"
        yield (
            f"<details{' open' if number < OPEN else ''}>{element('summary', summary)}"
            f"<table class='source'><thead><tr>{''.join(element('th', head) for head in _HEAD)}</tr></thead><tbody>"
            f"{''.join(_rows(stages[name], waited, total))}</tbody></table></details>"
        )
    if len(order) > MOST_STAGES:
        yield element("p", f"{len(order) - MOST_STAGES} more stages have less of it.")


def _rows(lines: list[SourceLine], waited: Mapping[Location, Mapping[Wait, float]], total: float) -> Iterator[str]:
    """The lines of the stage's function; where there are many, those around lines with instructions."""
    by_number = {line.location.line: line for line in lines}
    first, last = lines_of_function(lines[0].location)
    if last - first > MOST_LINES:
        first, last = max(first, min(by_number) - 3), min(last, max(by_number) + 3)
    file = lines[0].location.file
    for number in range(min(first, *by_number), max(last, *by_number) + 1):
        text, line = linecache.getline(file, number).rstrip(), by_number.get(number)
        if line is None and len(by_number) < last - first - MOST_LINES and not _is_near(number, by_number):
            continue
        cells = _cells(line, waited.get(line.location, {}), total) if line else "<td></td>" * 4
        anchor = _anchor(Location(file, number))
        yield f"<tr id='{anchor}'><td>{number}</td>{cells}<td><code>{escape(text)}</code></td></tr>"


def _is_near(number: int, lines: Mapping[int, SourceLine]) -> bool:
    return any(n in lines for n in range(number - 3, number + 4))


def _cells(line: SourceLine, causes: Mapping[Wait, float], total: float) -> str:
    share = 100 * line.critical_ns / total
    bar = (
        f"<span class='bar' style='width:{min(100, share):.1f}%'></span>{duration(line.critical_ns / 1e3)} {share:.1f}%"
    )
    most = sorted(causes.items(), key=lambda entry: -entry[1])[:MOST_CAUSES]
    why = "; ".join(f"{duration(ns / 1e3)} for {_place(cause.line, line)} ({cause.reason})" for cause, ns in most)
    return (
        f"<td class='share'>{bar if line.critical_ns else ''}</td>{element('td', duration(line.busy_ns / 1e3))}"
        f"{element('td', f'{line.instructions:,} {line.opcode}')}{element('td', why)}"
    )


def _place(cause: Location, line: SourceLine) -> str:
    return f"line {cause.line}" if cause.file == line.location.file else str(cause)


def _anchor(place: Location) -> str:
    return escape(f"{place}".replace(" ", "_"), quote=True)


def link(place: Location) -> str:
    """A link to a line of the tables."""
    return f"<a href='#{_anchor(place)}'>{escape(str(place))}</a>"
