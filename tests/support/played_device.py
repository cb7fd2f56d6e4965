"""nkisim with a machine that nobody else knows plays the device that probes are run on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from on_device.instruction_table import ProfiledInstruction
from on_device.measured import latency_probe, measured_document, profile_probe
from on_device.probes import LATENCY_PROBES, PROFILE_PROBES
from on_device.probes.probe import Point, Probe, ProfileProbe

from nkisim import Simulator
from nkisim.machine import Machine, load_machine
from nkisim.timing import timeline
from nkisim.timing.program import Program

RUNS = 100


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

    def latencies(self, probe: Probe, point: Point) -> list[float]:
        """Of the runs of a point, in ns."""
        latency = timeline(traced(self.machine.name, probe.name, point.name), self.machine).latency_ns
        runs = RUNS if self._noise else 1
        return [float(each) for each in latency * (1 + self._noise * self._rng.standard_normal(runs))]

    def instructions(self, probe: ProfileProbe) -> Sequence[ProfiledInstruction]:
        """A profile. A stamp of time is off by noise times an interval of 30 ns."""
        found = timeline(traced(self.machine.name, probe.name, ""), self.machine)
        return [
            ProfiledInstruction(
                task.engine, task.opcode, found.begin[task.number] + 30 * self._noise * self._rng.standard_normal(), 0.0
            )
            for task in found.tasks
        ]

    def measured(self) -> dict[str, Any]:
        """All probes, as a file of measurements."""
        shipped, probes = load_machine(self.machine.name), []
        for probe in LATENCY_PROBES.values():
            if self.machine.name in probe.targets:
                results = [(point, self.latencies(probe, point)) for point in probe.points]
                probes.append(latency_probe(probe, shipped, results))
        probes += [profile_probe(each, each.read(self.instructions(each))) for each in PROFILE_PROBES.values()]
        return measured_document(shipped, "a simulated device", probes)


@functools.cache
def traced(target: str, probe_name: str, point_name: str) -> Program:
    """What a probe does on the target; of a latency probe, at a point."""
    if probe_name in PROFILE_PROBES:
        of_profile = PROFILE_PROBES[probe_name]
        return run_program(target, 1, of_profile.kernel, of_profile.inputs(of_profile.sizes), dict(of_profile.sizes))
    probe = LATENCY_PROBES[probe_name]
    point = next(each for each in probe.points if each.name == point_name)
    return run_program(target, probe.cores, probe.kernel, probe.inputs(point.sizes), dict(point.sizes))


def run_program(target: str, cores: int, kernel: Any, inputs: Sequence[Any], options: dict[str, Any]) -> Program:
    """What a kernel does, without values."""
    timer = Simulator(target, cores, numerics=False).run(kernel, *inputs, **options).profile.timer
    assert timer is not None
    return timer.program
