"""One cell of the comparison: a kernel on a layer, its predicted time and what it is made of."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nkisim import NkiValidationError, NotSimulated, Simulator
from nkisim.report.prediction import Prediction
from nkisim.timing import Timer

Kernel = Callable[..., Any]


@dataclass
class Cell:
    """A kernel's prediction for a layer, or why there is none.

    Attributes:
        latency_us, bound_by: None where the kernel did not run.
        block_size: slots of a block it was given.
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
    critical_path_us: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    hbm_mb: float = 0.0
    lines: list[tuple[str, float]] = field(default_factory=list)
    refused: str | None = None
    findings: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def fastest(cells: list[Cell]) -> Cell:
    """The one with the least latency, or a refusal if none ran."""
    return min(cells, key=lambda cell: cell.latency_us or float("inf"))


def predict(kernel: Kernel, arguments: dict[str, Any], target: str) -> Cell:
    """The predicted latency on two cores; no values are computed."""
    started = time.perf_counter()
    simulator = Simulator(target, 2, report_only=True, numerics=False)
    timer = Timer(simulator.machine)
    simulator.observers = (timer,)
    try:
        with _quiet():
            run = simulator.run(kernel, **arguments)
    except Exception as error:
        return Cell(
            refused=reason(error), block_size=arguments["block_size"], wall_s=time.perf_counter() - started
        )  # fmt: skip
    prediction = Prediction(timer.timeline())
    return Cell(
        latency_us=prediction.latency_us,
        bound_by=prediction.bound_by,
        block_size=arguments["block_size"],
        critical_path_us=prediction.critical_path_us,
        busy={name: summary.utilization for name, summary in prediction.engines.items()},
        hbm_mb=sum(use.hbm_bytes for use in prediction.dma) / 1e6,
        lines=[(str(line.location), line.critical_ns / 1e3) for line in prediction.lines[:5]],
        findings=_counted(run.findings),
        wall_s=time.perf_counter() - started,
    )


def values(kernel: Kernel, arguments: dict[str, Any], target: str) -> np.ndarray[Any, Any] | str:
    """The output in fp32, [T, H], or why there is none."""
    try:
        with _quiet():
            out = Simulator(target, 2, report_only=True).run(kernel, **arguments).outputs
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
