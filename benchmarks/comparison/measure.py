"""One cell of the comparison: a kernel on a layer, its predicted time and what it is made of."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import click
import numpy as np

from nkisim import NkiValidationError, NotSimulated, Simulator
from nkisim.machine import load_machine
from nkisim.report.prediction import Prediction
from nkisim.timing import Timer, schedules, timeline
from nkisim.timing.program import Program

Kernel = Callable[..., Any]
CORES = 2


@dataclass
class Cell:
    """A kernel's prediction for a layer, or why there is none.

    Attributes:
        latency_us, bound_by: in the compiler's order; None where the kernel did not run.
        scenarios_us: latencies in both orders and at the corners of the machine, by name; the fastest kernel's only.
        block_size: slots of a block it was given; 0 where that is no argument of its own.
        slots: what they hold, tokens, or pairs of a token and a choice.
        critical_path_us: latency by resource.
        busy: share of the latency each engine works, mean of the cores.
        hbm_mb: megabytes read from and written to HBM, all cores.
        lines: kernel lines with the largest part of the critical path: (place, us).
        refused: what was said instead of a result.
        findings: kinds of problems the simulator reported, and how many.
    """

    latency_us: float | None = None
    bound_by: str | None = None
    block_size: int = 0
    slots: str = "tokens"
    scenarios_us: Mapping[str, float] = field(default_factory=dict)
    critical_path_us: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    hbm_mb: float = 0.0
    lines: list[tuple[str, float]] = field(default_factory=list)
    refused: str | None = None
    findings: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def form(self) -> str:
        """Of its arguments, for people who watch."""
        return f"blocks of {self.block_size} {self.slots}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Prepared(NamedTuple):
    """A prediction, and the program it can be made of again at other corners; None where the kernel did not run."""

    cell: Cell
    program: Program | None = None


def fastest(runs: list[Prepared], target: str) -> Cell:
    """The one with the least latency, in all scenarios of the clock; or a refusal if none ran."""
    cell, program = min(runs, key=lambda run: run.cell.latency_us or float("inf"))
    if program is None:
        return cell
    machine = load_machine(target)
    return replace(cell, scenarios_us={name: t.latency_ns / 1e3 for name, t in schedules(program, machine)})


class Ratio(NamedTuple):
    """How many times faster one kernel is than another: both in the same order, at the same corner.

    Attributes:
        nominal: in the compiler's order, on the machine as it is.
        least, most: over all scenarios.
    """

    nominal: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.nominal:.2f} ({self.least:.2f} to {self.most:.2f})"


def ratio(ours: Cell, theirs: Cell) -> Ratio | None:
    """None where one of them did not run."""
    found = [us / ours.scenarios_us[name] for name, us in theirs.scenarios_us.items() if name in ours.scenarios_us]
    return Ratio(found[0], min(found), max(found)) if found else None


def predict(kernel: Kernel, arguments: dict[str, Any], target: str) -> Prepared:
    """The predicted latency on two cores; no values are computed."""
    started = time.perf_counter()
    form: dict[str, Any] = {"block_size": arguments.get("block_size", 0)}
    form["slots"] = "pairs" if arguments.get("pairs") is not None else "tokens"
    simulator = Simulator(target, CORES, report_only=True, numerics=False)
    timer = Timer(simulator.machine)
    simulator.observers = (timer,)
    try:
        with _quiet():
            run = simulator.run(kernel, **arguments)
    except Exception as error:
        wall_s = time.perf_counter() - started
        return Prepared(Cell(refused=reason(error), **form, wall_s=wall_s))
    program = timer.program
    prediction = Prediction(timeline(program, simulator.machine))
    cell = Cell(
        latency_us=prediction.latency_us,
        bound_by=prediction.bound_by,
        **form,
        critical_path_us=prediction.critical_path_us,
        busy={name: summary.utilization for name, summary in prediction.engines.items()},
        hbm_mb=sum(use.hbm_bytes for use in prediction.dma) / 1e6,
        lines=[(str(line.location), line.critical_ns / 1e3) for line in prediction.lines[:5]],
        findings=_counted(run.findings),
        wall_s=time.perf_counter() - started,
    )
    return Prepared(cell, program)


def announced(name: str, kernel: Kernel, arguments: dict[str, Any], target: str) -> Prepared:
    """`predict`, with a line about it for people who watch."""
    prepared = predict(kernel, arguments, target)
    cell = prepared.cell
    result = "refused" if cell.latency_us is None else f"{cell.latency_us:.0f} us"
    click.echo(f"  {name}, {cell.form}: {result}, computed in {cell.wall_s:.0f} s", err=True)
    return prepared


def values(kernel: Kernel, arguments: dict[str, Any], target: str) -> np.ndarray[Any, Any] | str:
    """The output in fp32, [T, H] or wider, or why there is none."""
    try:
        with _quiet():
            out = Simulator(target, CORES, report_only=True).run(kernel, **arguments).outputs
    except Exception as error:
        return reason(error)
    out = out[0] if isinstance(out, (tuple, list)) else out
    return np.asarray(out[:, 0] if out.ndim == 3 else out).astype(np.float32)


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """nki-library prints its options while it is traced."""
    return contextlib.redirect_stdout(io.StringIO())


def reason(error: Exception) -> str:
    """An exception in one line."""
    kind = "" if isinstance(error, (NkiValidationError, NotSimulated)) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def _counted(findings: list[Any]) -> dict[str, int]:
    codes = [finding.code for finding in findings]
    return {code: codes.count(code) for code in sorted(set(codes))}
