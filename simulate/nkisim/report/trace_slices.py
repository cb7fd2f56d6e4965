# SPDX-License-Identifier: Apache-2.0
"""The slices of a trace as JSON: instructions, and around them the functions of the kernel that issued them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from nkisim.errors import Location
from nkisim.memory import Access
from nkisim.report.function_slices import FunctionSlice, function_slices
from nkisim.report.prediction import Prediction
from nkisim.report.tracks import Slice, Track
from nkisim.timing.costs import Transfer
from nkisim.timing.task import Task

_Place = tuple[int, int]
"""Process and row of a slice."""


class SliceWriter:
    """Slices as JSON. What equal instructions share is put into words once."""

    def __init__(self, prediction: Prediction) -> None:
        self._timeline = prediction.timeline
        self._critical = {step.task for step in prediction.path.steps}
        self._turns = _turns(self._timeline.tasks)
        self._works: dict[tuple[int, tuple[str, ...]], str] = {}
        self._places: dict[tuple[Location, ...], str] = {}

    def row(self, tid: int, track: Track) -> Iterator[str]:
        """All slices of a row, each after those around it."""
        place = track.core, tid
        functions = iter(function_slices(self._timeline, track))
        following = next(functions, None)
        for number, piece in enumerate(track.slices):
            while following is not None and following.first == number:
                yield _function(place, following)
                following = next(functions, None)
            yield self._instruction(place, piece)

    def _instruction(self, place: _Place, piece: Slice) -> str:
        t = self._timeline
        task = t.tasks[piece.task]
        title = json.dumps(f"issue {task.opcode}" if piece.issues else task.opcode)
        name = f'"name":{json.dumps(task.name)},' if task.name else ""
        turn, critical = self._turns[task.number], json.dumps(not piece.issues and task.number in self._critical)
        return (
            f'{_beginning(place, piece.begin, piece.end)},"name":{title},"args":{{{self._lines(task)},{name}'
            f'"index":{task.index},"turn":{turn},"queue":"{task.queue}","waited for":"{t.reason[piece.task]}",'
            f'"critical":{critical},{self._sizes(task)}}}}}'
        )

    def _lines(self, task: Task) -> str:
        """The line, and the one that called its function: the rest says what is around the slice."""
        chain = task.position.chain[-2:]
        told = self._places.get(chain)
        if told is None:
            words = dict(zip(("line", "called from"), map(str, reversed(chain)), strict=False))
            told = self._places[chain] = json.dumps(words)[1:-1]
        return told

    def _sizes(self, task: Task) -> str:
        """Operands and sizes, as the inside of a JSON object."""
        key = task.work, task.tensors
        told = self._works.get(key)
        if told is None:
            told = self._works[key] = json.dumps(self._work(task))[1:-1]
        return told

    def _work(self, task: Task) -> dict[str, Any]:
        event, cost = self._timeline.examples[task.work], self._timeline.costs[task.work]
        accesses = (*event.reads, *event.writes)
        told = [_operand(a, name) for a, name in zip(accesses, task.tensors or [""] * len(accesses), strict=True)]
        said: dict[str, Any] = {"reads": told[: len(event.reads)], "writes": told[len(event.reads) :]}
        if isinstance(cost, Transfer):
            said |= {"bytes": cost.nbytes, "HBM bytes": cost.hbm_bytes, "descriptors": cost.descriptors}
        if event.work.macs:
            rows, *columns = event.writes[0].shape
            sizes = {"M": rows, "K": event.work.macs // max(1, event.writes[0].size), "N": math.prod(columns)}
            said |= {**sizes, "flops": 2 * event.work.macs}
        return said | {key: _plain(value) for key, value in event.details.items() if value not in (None, "none")}


def at(ns: int) -> str:
    """A time in microseconds, 0.2 ns late: viewers that cut off fractions then still get the right nanosecond."""
    return f"{ns // 1000}.{ns % 1000:03d}2"


def _beginning(place: _Place, begin: int, end: int) -> str:
    lasts = end - begin
    return f'{{"ph":"X","pid":{place[0]},"tid":{place[1]},"ts":{at(begin)},"dur":{lasts // 1000}.{lasts % 1000:03d}'


def _function(place: _Place, piece: FunctionSlice) -> str:
    name = piece.stage.rpartition(":")[2]
    said = {"stage": piece.stage, "call": piece.call}
    if piece.called_from is not None:
        said["called from"] = str(piece.called_from)
    title = json.dumps(f"{name} {piece.call}" if piece.call else name)
    return f'{_beginning(place, piece.begin, piece.end)},"cat":"function","name":{title},"args":{json.dumps(said)}}}'


def _turns(tasks: list[Task]) -> list[int]:
    """Of each task, how often its line had issued its opcode before in the same call."""
    seen: Counter[object] = Counter()
    turns = []
    for task in tasks:
        key = task.core, task.position, task.opcode
        turns.append(seen[key])
        seen[key] += 1
    return turns


def _operand(access: Access, name: str) -> str:
    shape = "x".join(str(n) for n in access.shape)
    gathered = ", rows by index" if access.rows is not None else ""
    return f"{name}{': ' if name else ''}{access.storage.buffer.value} {shape} {access.dtype}{gathered}"


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float) else str(value)
