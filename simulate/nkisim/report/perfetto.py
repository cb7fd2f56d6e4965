# SPDX-License-Identifier: Apache-2.0
"""A trace for ui.perfetto.dev or chrome://tracing: JSON, written event by event, never held as a whole.

A process a core; a row an engine and a DMA queue, on it the kernel's functions around their instructions; counters; and
an arrow to each instruction from the one whose result it waited for last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nkisim.memory import MemoryRegion
from nkisim.observe import Capacity
from nkisim.report.counters import Point, dma_rate, hbm_rate, memory_in_use
from nkisim.report.files import replacing
from nkisim.report.prediction import Prediction
from nkisim.report.trace_slices import SliceWriter, at
from nkisim.report.tracks import Track, tracks
from nkisim.timing import Timeline


def save_perfetto(path: str | Path, prediction: Prediction, capacity: Capacity) -> None:
    """Write the trace of a schedule. Times are predicted microseconds from the first instruction."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ns","otherData":{"made by":"nkisim","times":"predicted"},"traceEvents":[\n')
        comma = ""
        for line in _events(prediction, capacity):
            file.write(comma + line)
            comma = ",\n"
        file.write("\n]}\n")


def _events(prediction: Prediction, capacity: Capacity) -> Iterator[str]:
    timeline = prediction.timeline
    rows = tracks(timeline)
    yield from _names(timeline, rows)
    writer = SliceWriter(prediction)
    home: dict[int, tuple[int, int, int, int]] = {}
    for tid, track in enumerate(rows, start=1):
        for piece in track.slices:
            if not piece.issues:
                home[piece.task] = (track.core, tid, piece.begin, piece.end)
        yield from writer.row(tid, track)
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
        yield f'{{"ph":"s","pid":{pid},"tid":{tid},"ts":{at(leave)},{common}}}'
        yield f'{{"ph":"f","bp":"e","pid":{to_pid},"tid":{to_tid},"ts":{at(begin)},{common}}}'


def _counter(pid: int, name: str, points: Iterable[Point]) -> Iterator[str]:
    title = json.dumps(name)
    for ns, value in points:
        yield f'{{"ph":"C","pid":{pid},"ts":{at(round(ns))},"name":{title},"args":{{"value":{value:g}}}}}'
