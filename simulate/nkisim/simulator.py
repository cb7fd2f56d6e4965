"""The simulator for people and tools: `Simulator(...).run(kernel, ...)` gives results and all that is known of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nkisim.errors import LaunchError
from nkisim.execution.kernel import Kernel
from nkisim.execution.launch import default_grid, launch
from nkisim.execution.neuron_core import Watch
from nkisim.machine import Machine, load_machine, target_from_environment
from nkisim.observe import Capacity, Counters, Finding, Observer, Uninitialized
from nkisim.report.summary import Profile


@dataclass(frozen=True)
class Run:
    """A finished simulation.

    Attributes:
        outputs: what the kernel returned, as NumPy or torch, like the inputs.
        profile: counts; no time is predicted yet.
        findings: problems that were reported rather than raised.
        wall_s: seconds the simulation took on this computer.
    """

    outputs: Any
    profile: Profile
    findings: list[Finding]
    wall_s: float


class Simulator:
    """Runs kernels on a simulated NeuronCore, or a pair of them.

    Args:
        target: "trn2" or "trn3"; by default NEURON_PLATFORM_TARGET_OVERRIDE.
        lnc: cores (1 or 2); by default the kernel's own grid, or NEURON_LOGICAL_NC_CONFIG.
        report_only: collect problems in `Run.findings` instead of raising the first one.
        observers: more observers, called after each instruction.
    """

    def __init__(
        self,
        target: str | None = None,
        lnc: int | None = None,
        *,
        report_only: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.machine: Machine = load_machine(target or target_from_environment())
        self.lnc, self.report_only, self.observers = lnc, report_only, tuple(observers)

    def run(self, kernel: Any, *args: Any, **kwargs: Any) -> Run:
        """Simulate `kernel(*args, **kwargs)`.

        Raises:
            NkiValidationError: a rule of the hardware is broken, or (unless report_only) a detector found something.
        """
        target = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
        capacity, counters = Capacity(self.machine), Counters()
        watch = Watch([Uninitialized(), capacity, counters, *self.observers], self.report_only)
        started = time.perf_counter()
        outputs = launch(target.function, self._grid(target), args, kwargs, self.machine, watch)
        wall = time.perf_counter() - started
        return Run(outputs, Profile.from_observers(counters, capacity), watch.findings, wall)

    def _grid(self, kernel: Kernel) -> tuple[int, ...]:
        if self.lnc is None:
            return default_grid(kernel.grid)
        if kernel.grid and kernel.grid != (self.lnc,):
            raise LaunchError(
                "lnc matches the kernel's grid",
                f"lnc={self.lnc} for kernel{list(kernel.grid)}",
                "Drop one of them.",
            )
        return (self.lnc,)
