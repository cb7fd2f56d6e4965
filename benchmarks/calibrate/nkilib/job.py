"""What the checkout calls a test manager, and its tests with their configurations."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.tape import launch
from nkisim.observe import Observer

HERE = Path(__file__).parent
TESTS = "test.integration.nkilib.core"
Configuration = dict[str, Any]
LONG = ", long"
"""Of a family: the rows that take longest to simulate, by themselves."""
_LATENCIES = ("tpbSgCyclesSum", "qor", "cyclesQoR")
_PICOSECONDS = 1e-6  # in microseconds
_ROUNDED = 4  # a number with at most so many digits was not measured as it stands


class Launcher:
    """Runs the kernel of each job it is given under an observer, on as many cores as the job says unless told."""

    def __init__(self, observer: Observer, cores: int | None = None) -> None:
        self._observer = observer
        self._cores = cores
        self.launch = ""

    def execute(self, job: Any) -> None:
        """Run `job`, a KernelArgs of the test framework."""
        arguments = {name.removesuffix(".must_alias_input"): value for name, value in job.kernel_input.items()}
        os.environ["NEURON_PLATFORM_TARGET_OVERRIDE"] = "trn2"
        lnc = self._cores or job.compiler_input.logical_nc_config
        launch(self._observer, job.kernel_func, lnc=lnc, **arguments)
        self.launch = f"LNC{lnc}"


@dataclass(frozen=True)
class Stated:
    """A configuration of a test, and the latency that stands beside it in microseconds."""

    test: str
    latency: float
    values: Configuration = field(repr=False)
    _run: Callable[..., None] = field(repr=False)

    def run(self, observer: Observer, cores: int | None = None) -> str:
        """Let the test build the arguments; returns the class of the launch."""
        launcher = Launcher(observer, cores)
        self._run(test_manager=launcher, **self.values)
        return launcher.launch

    @property
    def doubt(self) -> str:
        """Why the number may not be a measurement."""
        return rounded(self.latency)


def stated(tests: type) -> Iterator[Stated]:
    """Every configuration of the methods of `tests` that has a latency, in order."""
    instance = tests()
    for name, method in inspect.getmembers(tests, inspect.isfunction):
        for values in configurations(method):
            latency = next((_first(values[n]) for n in _LATENCIES if n in values), None)
            if latency:
                needed = {n: v for n, v in values.items()} | {"collector": None}
                yield Stated(name, latency * _PICOSECONDS, needed, getattr(instance, name))


def configurations(method: Any) -> list[Configuration]:
    """The product of the `parametrize` marks of a test."""
    found: list[Configuration] = [{}]
    for mark in getattr(method, "pytestmark", ()):
        if mark.name == "parametrize":
            names = [name.strip() for name in mark.args[0].split(",")]
            rows = [value if len(names) > 1 else (value,) for value in mark.args[1]]
            found = [one | dict(zip(names, row, strict=True)) for one in found for row in rows]
    return found


def _first(value: Any) -> float | None:
    """The number, or the one that is given of a pair."""
    return next((v for v in value if v), None) if isinstance(value, tuple) else value


def rounded(latency: float) -> str:
    """A doubt, where a latency in microseconds has few digits."""
    digits = f"{round(latency / _PICOSECONDS)}".rstrip("0")
    return "a rounded number" if len(digits) <= _ROUNDED else ""


def zeros(*_: Any, **__: Any) -> Any:
    """In place of a generator of random tensors: no time depends on their values."""
    return lambda shape, dtype, name=None: np.zeros(shape, dtype)
