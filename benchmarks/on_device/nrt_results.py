"""Latencies as nrtpy's BenchmarkResult has them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from on_device.fields import FieldError, number, numbers


@dataclass(frozen=True)
class Latencies:
    """Of the timed runs of a kernel, in ns."""

    runs_ns: tuple[float, ...]

    @property
    def median_us(self) -> float:
        return median(self.runs_ns) / 1e3

    def as_json(self) -> dict[str, Any]:
        """Microseconds; p99 is the largest of fewer than 100 runs."""
        p99 = quantiles(self.runs_ns, n=100)[-1] if len(self.runs_ns) >= 100 else max(self.runs_ns)
        least, most = min(self.runs_ns), max(self.runs_ns)
        return {
            "median_us": self.median_us, "min_us": least / 1e3, "max_us": most / 1e3, "p99_us": min(p99, most) / 1e3,
            "runs": len(self.runs_ns),
        }  # fmt: skip


def read_latencies(document: Any, place: str) -> Latencies:
    """The latencies of a BenchmarkResult that was written as JSON.

    Raises:
        FieldError: it lacks durations_ms or iterations, or they contradict each other.
    """
    durations, iterations = numbers(document, "durations_ms", place), number(document, "iterations", place)
    if len(durations) != iterations:
        raise FieldError(f"{place}: durations_ms has {len(durations)} entries, iterations is {iterations:g}")
    return Latencies(tuple(each * 1e6 for each in durations))
