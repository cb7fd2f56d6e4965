"""Traces to rows: durations and schedule of every program, on the clock of `clock.py`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from calibrate.cases import UNITS, Case, Figure
from calibrate.clock import Prediction, predict
from calibrate.measurements import derived
from calibrate.readings import LATENCY, read
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
        unknown = Case("", "unreadable", path.stem, "", ())
        return [Row(unknown, Figure("", 1.0, 1.0, "ns"), "", error=f"trace again: {error}")]
    return list(_rows(trace))


def _rows(trace: Trace) -> Iterator[Row]:
    error, prediction = trace.reason, None
    if trace.program is not None:
        try:
            prediction = predict(trace.program, load_machine(_TARGET))
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
    for figure in trace.case.figures:
        if prediction is None:
            yield Row(trace.case, figure, trace.launch, error=error)
        else:
            yield _read(trace, figure, prediction)


def _read(trace: Trace, figure: Figure, prediction: Prediction) -> Row:
    unit = UNITS[figure.unit]
    try:
        body = read(figure.reading, prediction.timeline) / unit
    except Exception as problem:
        return Row(trace.case, figure, trace.launch, error=f"{figure.reading}: {type(problem).__name__}: {problem}")
    limits = None
    if figure.reading == LATENCY and prediction.low_ns is not None and prediction.high_ns is not None:
        limits = (prediction.low_ns / unit, prediction.high_ns / unit)
    return Row(trace.case, figure, trace.launch, body, limits)
