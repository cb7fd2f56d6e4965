# SPDX-License-Identifier: Apache-2.0
"""`nki.benchmark` and `nki.profile` of NKI 0.1: latencies, which here are predicted and say so."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nkisim.errors import Location, NotSimulated
from nkisim.legacy.kernel import LegacyKernel, jit, run
from nkisim.machine import Machine, load_machine, target_from_environment
from nkisim.observe import Capacity, Counters, Observer
from nkisim.report.summary import Profile
from nkisim.timing import Timer


@dataclass(frozen=True)
class PredictedLatency:
    """The predicted latency of one run of a kernel.

    Attributes:
        predicted_us: microseconds, by the time model; never measured.
        untimed: lines of the kernel whose work has no time in it.
    """

    predicted_us: float
    untimed: tuple[Location, ...]

    def get_latency_percentile(self, percentile: int) -> float:
        """The predicted latency in microseconds, of every percentile the same.

        Raises:
            NotSimulated: the kernel does something that has no time.
        """
        if self.untimed:
            raise NotSimulated(
                "all of the kernel has a time",
                f"{self.untimed[0]} has none",
                "Read predicted_us, a lower bound.",
            )
        return self.predicted_us


@dataclass(frozen=True)
class BenchmarkResult:
    """`kernel.benchmark_result`."""

    nc_latency: PredictedLatency


class BenchmarkKernel(LegacyKernel):
    """A kernel whose calls predict its latency."""

    benchmark_result: BenchmarkResult

    def __getitem__(self, grid: Any) -> BenchmarkKernel:
        return BenchmarkKernel(self.body, super().__getitem__(grid).programs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result, latency = predicted(self, load_machine(target_from_environment()), args, kwargs)
        self.benchmark_result = BenchmarkResult(latency)
        warnings.warn(
            f"nki.benchmark: {latency.predicted_us:.2f} us is predicted by a model, not measured", UserWarning, 2
        )
        return result


def predicted(
    kernel: LegacyKernel,
    machine: Machine,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    observers: Sequence[Observer] = (),
) -> tuple[Any, PredictedLatency]:
    """What the kernel returns, and its predicted latency on a machine, with more observers."""
    timer, counters, capacity = Timer(machine), Counters(), Capacity(machine)
    result = run(kernel, machine, [timer, counters, *observers], args, kwargs)
    return result, PredictedLatency(Profile(counters, capacity, timer).latency_us, kernel.untimed)


def benchmark(kernel: Callable[..., Any] | None = None, **_: Any) -> Any:
    """Make a function a kernel whose calls predict its latency."""
    if kernel is None:
        return functools.partial(benchmark)
    return BenchmarkKernel(jit(kernel).body)


def profile(kernel: Callable[..., Any] | None = None, **_: Any) -> Any:
    """Make a function a kernel; profiles of a device are not written."""
    return functools.partial(profile) if kernel is None else jit(kernel)
