# SPDX-License-Identifier: Apache-2.0
"""All that is known of a run: counts, memory, and what the time model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nkisim.errors import ArgumentError
from nkisim.machine import Peaks, UsefulWork, machine_peaks
from nkisim.memory import MemoryRegion
from nkisim.observe import Capacity, Counters
from nkisim.report.difference import Difference
from nkisim.report.perfetto import save_perfetto
from nkisim.report.prediction import EngineSummary, Prediction
from nkisim.report.roofline import save_roofline
from nkisim.report.timeline_picture import save_timeline
from nkisim.timing import CLOCK, Forecast, Leverage, Timer, forecast, sensitivity, timeline
from nkisim.timing.source_lines import SourceLine


@dataclass(frozen=True, eq=False)
class Profile:
    """What a kernel did, summed over its cores, and how long the time model says it takes.

    Times are predicted when they are first asked for.

    Attributes:
        counters: instructions, bytes and multiply-accumulates.
        capacity: use of on-chip memory.
        timer: what the schedule depends on; None without the time model.
    """

    counters: Counters
    capacity: Capacity
    timer: Timer | None = None

    @property
    def instructions(self) -> dict[str, int]:
        """Instructions by engine."""
        return dict(self.counters.instructions)

    @property
    def opcodes(self) -> dict[str, int]:
        """Instructions by name."""
        return dict(self.counters.opcodes)

    @property
    def hbm_read(self) -> int:
        """Bytes."""
        return self.counters.hbm_read

    @property
    def hbm_written(self) -> int:
        """Bytes."""
        return self.counters.hbm_written

    @property
    def macs(self) -> int:
        """Multiply-accumulates on the PE, padding included."""
        return self.counters.macs

    @cached_property
    def sbuf_peak_bytes(self) -> int:
        """SBUF in use at once, bytes a partition, on the fuller core."""
        return self.capacity.peak(MemoryRegion.sbuf)

    @cached_property
    def psum_peak_banks(self) -> int:
        """PSUM banks in use at once, likewise."""
        return self.capacity.peak_banks()

    @cached_property
    def prediction(self) -> Prediction:
        """The predicted schedule, summed up.

        Raises:
            ArgumentError: the simulator ran without the time model.
        """
        timer = self._need_timer()
        return Prediction(timeline(timer.program, timer.machine))

    @cached_property
    def forecast(self) -> Forecast:
        """The latency in both orders and at the corners of the machine; takes some schedules more.

        Raises:
            ArgumentError: the simulator ran without the time model.
        """
        timer = self._need_timer()
        return forecast(timer.program, timer.machine, self.prediction.timeline)

    @property
    def interval_us(self) -> tuple[float, float]:
        """Between what the predicted latency may lie: orders, and ranges of constants."""
        low, high = self.forecast.interval
        return low / 1e3, high / 1e3

    @property
    def latency_us(self) -> float:
        """Predicted microseconds from the first instruction to the last result."""
        return self.prediction.latency_us

    @property
    def bound_by(self) -> str:
        """What the critical path spends most of its time on: one of `timing.critical_path.RESOURCES`."""
        return self.prediction.bound_by

    @property
    def engines(self) -> dict[str, EngineSummary]:
        """Predicted use of each engine, over the cores."""
        return self.prediction.engines

    @property
    def provenance(self) -> dict[str, float]:
        """Shares of the latency that rest on documented, derived and assumed constants."""
        return self.prediction.provenance

    @property
    def lines(self) -> list[SourceLine]:
        """The ten kernel lines that cost most."""
        return self.prediction.lines

    @cached_property
    def sensitivity(self) -> list[Leverage]:
        """The open constants by their leverage on this kernel; a schedule or two for each."""
        timer = self._need_timer()
        return sensitivity(timer.program, timer.machine)

    def what_if(self, factors: Mapping[str, float]) -> Prediction:
        """The same program on a machine with constants multiplied: {"hbm": 1.2, "pe_clock": 1.1}.

        Raises:
            ValueError: a name or factor that `Machine.scaled` does not take.
        """
        timer = self._need_timer()
        return Prediction(timeline(timer.program, timer.machine.scaled(factors)))

    @property
    def executed(self) -> UsefulWork:
        """What ran: all multiply-accumulates and all bytes, padding and repeats included."""
        return UsefulWork(2.0 * self.macs, self.hbm_read + self.hbm_written, "executed")

    def save_perfetto(self, path: str | Path) -> None:
        """Write a trace for ui.perfetto.dev."""
        save_perfetto(path, self.prediction, self.capacity)

    def save_roofline(self, path: str | Path, useful: UsefulWork | None = None, peaks: Peaks | None = None) -> None:
        """Draw where the run lies under the roofline; needs matplotlib. The suffix of `path` says png, svg or pdf.

        Args:
            useful: what the kernel is for; by default only what it executed is drawn.
            peaks: by default those of bf16 matmuls on the machine.
        """
        timeline = self.prediction.timeline
        works = [self.executed] if useful is None else [useful, self.executed]
        save_roofline(path, works, self.latency_us, peaks or machine_peaks(timeline.machine, timeline.cores),
                      f"{timeline.cores} {timeline.machine.name} core(s)")  # fmt: skip

    def save_timeline(self, path: str | Path) -> None:
        """Draw what each engine does when; needs matplotlib."""
        save_timeline(path, self.prediction)

    def diff(self, after: Profile) -> Difference:
        """What a later profile takes longer for, or less long, by engine, stage and line."""
        return Difference(self.to_json(), after.to_json())

    def to_json(self) -> dict[str, Any]:
        """Numbers for scripts; the keys are stable."""
        return {
            **self.prediction.to_json(),
            **self.bounds_json(),
            "hbm_bytes": {"read": self.hbm_read, "written": self.hbm_written},
            "macs": self.macs,
            "opcodes": self.opcodes,
            "sbuf_peak_bytes_per_partition": self.sbuf_peak_bytes,
            "psum_peak_banks": self.psum_peak_banks,
        }

    def bounds_json(self) -> dict[str, Any]:
        """The clock, the interval of the latency, and the latency in each order."""
        bounds = self.forecast
        return {
            "clock": CLOCK,
            "interval_us": [ns / 1e3 for ns in bounds.interval],
            "by_order": {name: ns / 1e3 for name, ns in bounds.by_order.items()},
            "by_look_ahead": {str(distance): ns / 1e3 for distance, ns in bounds.by_look_ahead.items()},
        }

    def _need_timer(self) -> Timer:
        if self.timer is None:
            raise ArgumentError("a prediction needs the time model", "timing=False", "Use Simulator(timing=True).")
        return self.timer
