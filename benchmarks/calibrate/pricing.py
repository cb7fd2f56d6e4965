"""Traces to rows: durations and schedule of every program, on the clock of `clock.py`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from calibrate.cases import UNITS, Case, exactly
from calibrate.clock import Prediction, predict
from calibrate.launches import LAUNCHES, class_of
from calibrate.measurements import derived
from calibrate.readings import read
from calibrate.rows import Row
from calibrate.traces import Trace, files, load
from nkisim.machine import load_machine

_TARGET = "trn2"


def price(folder: Path, parallel: int) -> list[Row]:
    """The rows of every trace in the folder, `parallel` traces at a time, and those that compare two of them."""
    with ProcessPoolExecutor(parallel) as pool:
        rows = [row for rows in pool.map(rows_of, files(folder)) for row in rows]
    return rows + derived(rows)


def rows_of(path: Path) -> list[Row]:
    """The rows of one trace; what goes wrong is said in them."""
    try:
        trace = load(path)
    except Exception as error:
        unknown = Case("", "unreadable", path.stem, "", (exactly("body", 1.0, "ns"),))
        trace = Trace(unknown, "", reason=f"trace again: {error}")
    return list(_rows(trace))


def _rows(trace: Trace) -> Iterator[Row]:
    error, prediction = trace.reason, None
    if trace.program is not None:
        try:
            prediction = predict(trace.program, load_machine(_TARGET))
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
    for figure in trace.case.figures:
        launch = class_of(trace.launch, trace.case.kernel)
        row = Row(trace.case, figure, launch, LAUNCHES[launch], error=error)
        yield row if prediction is None else _read(row, prediction)


def _read(row: Row, prediction: Prediction) -> Row:
    """The row with what the prediction says."""
    reading, unit = row.figure.reading, UNITS[row.figure.unit]
    try:
        body = read(reading, prediction.timeline) / unit
        found = [body, *(read(reading, other) / unit for other in prediction.others)]
    except Exception as problem:
        return replace(row, error=f"{reading}: {type(problem).__name__}: {problem}")
    limits = min(found) / prediction.unexplained, max(found) * prediction.unexplained
    return replace(row, body=body, body_range=limits)
