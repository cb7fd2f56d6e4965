"""A trace for ui.perfetto.dev or chrome://tracing: JSON, written event by event, never held as a whole.

A process a core, a row an engine and a DMA queue, counters, and an arrow to each instruction from the one whose result
it waited for last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nkisim.errors import Location
from nkisim.memory import Access, MemoryRegion
from nkisim.observe import Capacity
from nkisim.report.counters import Point, dma_rate, hbm_rate, memory_in_use
from nkisim.report.files import replacing
from nkisim.report.tracks import Slice, Track, tracks
from nkisim.timing import Timeline
from nkisim.timing.costs import Transfer


def save_perfetto(path: str | Path, timeline: Timeline, capacity: Capacity) -> None:
    """Write the trace of a schedule. Times are predicted microseconds from the first instruction."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ns","otherData":{"made by":"nkisim","times":"predicted"},"traceEvents":[\n')
        comma = ""
        for line in _events(timeline, capacity):
            file.write(comma + line)
            comma = ",\n"
        file.write("\n]}\n")


def _events(timeline: Timeline, capacity: Capacity) -> Iterator[str]:
    rows = tracks(timeline)
    yield from _names(timeline, rows)
    writer = _SliceWriter(timeline)
    home: dict[int, tuple[int, int, int, int]] = {}
    for tid, track in enumerate(rows, start=1):
        for piece in track.slices:
            if not piece.issues:
                home[piece.task] = (track.core, tid, piece.begin, piece.end)
            yield writer.slice(track.core, tid, piece)
    yield from _arrows(timeline, home)
    for core in range(timeline.cores):
        yield from _counter(core, "SBUF bytes a partition", memory_in_use(timeline, capacity, core, MemoryRegion.sbuf))
        yield from _counter(core, "PSUM banks", memory_in_use(timeline, capacity, core, MemoryRegion.psum))
        yield from _counter(core, "DMA GB/s", dma_rate(timeline, core))
    yield from _counter(timeline.cores, "HBM GB/s", hbm_rate(timeline))


def _names(timeline: Timeline, rows: list[Track]) -> Iterator[str]:
    for core in range(timeline.cores):
        yield _metadata(core, 0, "process_name", name=f"NeuronCore {core} ({timeline.machine.name}, predicted)")
        yield _metadata(core, 0, "process_sort_index", sort_index=core)
    yield _metadata(timeline.cores, 0, "process_name", name="HBM stack (predicted)")
    for tid, track in enumerate(rows, start=1):
        yield _metadata(track.core, tid, "thread_name", name=track.title)
        yield _metadata(track.core, tid, "thread_sort_index", sort_index=tid)


def _metadata(pid: int, tid: int, kind: str, **args: Any) -> str:
    return json.dumps({"ph": "M", "pid": pid, "tid": tid, "name": kind, "args": args})


class _SliceWriter:
    """Slices as JSON. What equal instructions share is put into words once."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._works: dict[int, str] = {}
        self._places: dict[Location, str] = {}

    def slice(self, pid: int, tid: int, piece: Slice) -> str:
        t = self._timeline
        task = t.tasks[piece.task]
        what = self._works.get(task.work)
        if what is None:
            what = self._works[task.work] = _arguments(t, task.work)
        where = self._places.get(task.location)
        if where is None:
            where = self._places[task.location] = json.dumps(str(task.location))
        title = json.dumps(f"issue {task.opcode}" if piece.issues else task.opcode)
        name = f'"name":{json.dumps(task.name)},' if task.name else ""
        return (
            f'{{"ph":"X","pid":{pid},"tid":{tid},"ts":{_at(piece.begin)},"dur":{_us(piece.end - piece.begin)},'
            f'"name":{title},"args":{{"line":{where},{name}"index":{task.index},'
            f'"waited for":"{t.reason[piece.task]}",{what}}}}}'
        )


def _arguments(timeline: Timeline, work: int) -> str:
    """Operands and sizes of a work, as the inside of a JSON object."""
    event, cost = timeline.examples[work], timeline.costs[work]
    said: dict[str, Any] = {
        "reads": [_operand(a) for a in event.reads],
        "writes": [_operand(a) for a in event.writes],
    }
    if isinstance(cost, Transfer):
        said |= {"bytes": cost.nbytes, "HBM bytes": cost.hbm_bytes, "descriptors": cost.descriptors}
    if event.work.macs:
        said["multiply-accumulates"] = event.work.macs
    said |= {key: str(value) for key, value in event.details.items() if value not in (None, False, "none")}
    return json.dumps(said)[1:-1]


def _operand(access: Access) -> str:
    shape = "x".join(str(n) for n in access.shape)
    gathered = ", rows by index" if access.rows is not None else ""
    return f"{access.storage.buffer.value} {shape} {access.dtype}{gathered}"


def _arrows(timeline: Timeline, home: dict[int, tuple[int, int, int, int]]) -> Iterator[str]:
    """At most one arrow to a task, from the end of the one it waited for; none within a queue, where order is order."""
    for task in timeline.tasks:
        number = timeline.because[task.number]
        if number < 0:
            continue
        before = timeline.tasks[number]
        (pid, tid, start, end), (to_pid, to_tid, begin, _) = home[number], home[task.number]
        leave = max(start, end - 2)
        if (before.core, before.queue) == (task.core, task.queue) or begin < leave:
            continue
        common = f'"id":{task.number},"cat":"waits","name":"waits for"'
        yield f'{{"ph":"s","pid":{pid},"tid":{tid},"ts":{_at(leave)},{common}}}'
        yield f'{{"ph":"f","bp":"e","pid":{to_pid},"tid":{to_tid},"ts":{_at(begin)},{common}}}'


def _counter(pid: int, name: str, points: Iterable[Point]) -> Iterator[str]:
    title = json.dumps(name)
    for ns, value in points:
        yield f'{{"ph":"C","pid":{pid},"ts":{_at(round(ns))},"name":{title},"args":{{"value":{value:g}}}}}'


def _at(ns: int) -> str:
    """A time in microseconds, 0.2 ns late: viewers that cut off fractions then still get the right nanosecond."""
    return f"{ns // 1000}.{ns % 1000:03d}2"


def _us(ns: int) -> str:
    return f"{ns // 1000}.{ns % 1000:03d}"
