# SPDX-License-Identifier: Apache-2.0
"""The kernel's source with what each line costs, and what it calls: a table a function."""

from __future__ import annotations

import linecache
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from html import escape

from nkisim.errors import Location
from nkisim.report.html import element
from nkisim.report.pictures import duration
from nkisim.report.prediction import Prediction
from nkisim.report.source_text import lines_of_function, stage_of
from nkisim.timing.source_lines import SourceLine, Spent
from nkisim.timing.waits import Wait, waits

MOST_STAGES, MOST_LINES, OPEN = 60, 200, 3
MOST_CAUSES = 2
_HEAD = ("line", "critical", "busy", "instructions", "waits", "source")


@dataclass(frozen=True)
class _Costs:
    """What is told of lines, by line."""

    own: Mapping[Location, SourceLine]
    called: Mapping[Location, Spent]
    waited: Mapping[Location, Mapping[Wait, float]]
    total_ns: float


def source_tables(prediction: Prediction) -> Iterator[str]:
    """Functions by their time on the critical path, with what they call; those that take most open."""
    costs = _Costs(
        {line.location: line for line in prediction.all_lines}, prediction.called, waits(prediction.timeline),
        prediction.timeline.latency_ns or 1.0,
    )  # fmt: skip
    places: dict[str, list[Location]] = defaultdict(list)
    for place in {**costs.own, **costs.called}:
        places[stage_of(place)].append(place)
    for number, function in enumerate(prediction.functions[:MOST_STAGES]):
        share = 100 * function.total.critical_ns / costs.total_ns
        own = "" if function.own == function.total else f", {duration(function.own.critical_ns / 1e3)} its own"
        summary = (
            f"{function.stage}: {duration(function.total.critical_ns / 1e3)}{own}, {share:.1f}% of the critical path"
        )
        yield (
            f"<details{' open' if number < OPEN else ''}>{element('summary', summary)}"
            f"<table class='source'><thead><tr>{''.join(element('th', head) for head in _HEAD)}</tr></thead><tbody>"
            f"{''.join(_rows(places[function.stage], costs))}</tbody></table></details>"
        )
    if len(prediction.functions) > MOST_STAGES:
        yield element("p", f"{len(prediction.functions) - MOST_STAGES} more functions have less of it.")


def _rows(places: list[Location], costs: _Costs) -> Iterator[str]:
    """The lines of one function; where there are many, those around lines with instructions or calls."""
    numbers = {place.line for place in places}
    first, last = lines_of_function(places[0])
    if last - first > MOST_LINES:
        first, last = max(first, min(numbers) - 3), min(last, max(numbers) + 3)
    file = places[0].file
    for number in range(min(first, *numbers), max(last, *numbers) + 1):
        place, text = Location(file, number), linecache.getline(file, number).rstrip()
        if number not in numbers and len(numbers) < last - first - MOST_LINES and not _is_near(number, numbers):
            continue
        cells = _cells(place, costs) if number in numbers else "<td></td>" * 4
        yield f"<tr id='{_anchor(place)}'><td>{number}</td>{cells}<td><code>{escape(text)}</code></td></tr>"


def _is_near(number: int, numbers: Container[int]) -> bool:
    return any(n in numbers for n in range(number - 3, number + 4))


def _cells(place: Location, costs: _Costs) -> str:
    """What a line took, with what it called."""
    own, called = costs.own.get(place), costs.called.get(place, Spent())
    spent = called if own is None else called + Spent(own.instructions, own.critical_ns, own.busy_ns)
    share = 100 * spent.critical_ns / costs.total_ns
    bar = (
        f"<span class='bar{'' if own else ' calls'}' style='width:{min(100, share):.1f}%'></span>"
        f"{duration(spent.critical_ns / 1e3)} {share:.1f}%"
    )
    most = sorted(costs.waited.get(place, {}).items(), key=lambda entry: -entry[1])[:MOST_CAUSES]
    why = "; ".join(f"{duration(ns / 1e3)} for {_place(cause.line, place)} ({cause.reason})" for cause, ns in most)
    what = f"{spent.instructions:,} {', '.join(own.opcodes) if own else 'in what it calls'}"
    return (
        f"<td class='share' data-label='critical'>{bar if spent.critical_ns else ''}</td>"
        f"{element('td', duration(spent.busy_ns / 1e3), data_label='busy')}{element('td', what)}"
        f"{element('td', why, data_label='waits')}"
    )


def _place(cause: Location, waiting: Location) -> str:
    return f"line {cause.line}" if cause.file == waiting.file else str(cause)


def _anchor(place: Location) -> str:
    return escape(f"{place}".replace(" ", "_"), quote=True)


def link(place: Location) -> str:
    """A link to a line of the tables."""
    return f"<a href='#{_anchor(place)}'>{escape(str(place))}</a>"
