"""nkisim with a machine that nobody else knows plays the device that probes are run on."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from on_device.instruction_table import ProfiledInstruction
from on_device.measured import profile_probe
from on_device.place import DONE, Place
from on_device.predicted import instructions_of
from on_device.probe_cases import point_case
from on_device.probe_results import measured_by_probes
from on_device.probes import LATENCY_PROBES, PROFILE_PROBES
from on_device.probes.probe import Probe, ProfileProbe

from nkisim import Simulator
from nkisim.machine import Machine, load_machine
from nkisim.timing import timeline
from nkisim.timing.program import Program

RUNS = 100
_STAMP_NS = 30.0  # what the noise of a stamp of time is a share of


class PlayedDevice:
    """A device.

    Args:
        machine: how fast it is.
        noise: standard deviation of a run's latency, over the latency.
        seed: of the noise.
    """

    def __init__(self, machine: Machine, noise: float = 0.0, seed: int = 0) -> None:
        self.machine, self._noise = machine, noise
        self._rng = np.random.default_rng(seed)

    def benchmark(self, program: Program) -> dict[str, Any]:
        """The fields of nrtpy's BenchmarkResult."""
        latency_ms = timeline(program, self.machine).latency_ns / 1e6
        runs = RUNS if self._noise else 1
        durations = [float(each) for each in latency_ms * (1 + self._noise * self._rng.standard_normal(runs))]
        return {
            "mean_ms": float(np.mean(durations)), "min_ms": min(durations), "max_ms": max(durations),
            "std_dev_ms": float(np.std(durations)), "iterations": runs, "warmup_iterations": 10,
            "durations_ms": durations,
        }  # fmt: skip

    def instructions(self, probe: ProfileProbe) -> list[ProfiledInstruction]:
        """A profile; its stamps of time are off a little."""
        exact = instructions_of(timeline(traced(self.machine.name, probe.name, 0), self.machine))
        off = _STAMP_NS * self._noise * self._rng.standard_normal(len(exact))
        return [replace(each, start_ns=each.start_ns + by) for each, by in zip(exact, off.tolist(), strict=True)]

    def time_probes(self, folder: Path) -> None:
        """Leave what the third step leaves in results/TARGET."""
        for probe in LATENCY_PROBES.values():
            for n in range(len(probe.points) if self.machine.name in probe.targets else 0):
                place = Place(folder / point_case(probe, n))
                place.folder.mkdir(parents=True)
                benchmark = self.benchmark(traced(self.machine.name, probe.name, n))
                (place.folder / "benchmark.json").write_text(json.dumps(benchmark), "utf-8")
                place.keep("time", DONE, [], {})

    def measured(self, folder: Path) -> dict[str, Any]:
        """What the fifth step collects."""
        self.time_probes(folder)
        document, _ = measured_by_probes(folder, load_machine(self.machine.name), "a simulated device")
        read = [profile_probe(each, each.read(self.instructions(each))) for each in PROFILE_PROBES.values()]
        return {**document, "probes": [*document["probes"], *read]}


@functools.cache
def traced(target: str, probe_name: str, point: int) -> Program:
    """What a probe does on the target, at a point."""
    probe: Probe | ProfileProbe
    if probe_name in PROFILE_PROBES:
        probe = PROFILE_PROBES[probe_name]
        return program_of(target, 1, probe.kernel, probe.inputs(probe.sizes), dict(probe.sizes))
    probe = LATENCY_PROBES[probe_name]
    sizes = probe.points[point].sizes
    return program_of(target, probe.cores, probe.kernel, probe.inputs(sizes), dict(sizes))


def program_of(target: str, cores: int, kernel: Any, inputs: Sequence[Any], options: dict[str, Any]) -> Program:
    """What a kernel does, without values."""
    timer = Simulator(target, cores, numerics=False).run(kernel, *inputs, **options).profile.timer
    assert timer is not None
    return timer.program
