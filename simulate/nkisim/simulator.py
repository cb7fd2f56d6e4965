# SPDX-License-Identifier: Apache-2.0
"""The simulator for people and tools: `Simulator(...).run(kernel, ...)` gives results and all that is known of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nkisim.errors import ArgumentError, LaunchError, SimulationError
from nkisim.execution.dma_comparison import first_difference, order_error
from nkisim.execution.kernel import Kernel
from nkisim.execution.late_dma import LateDma
from nkisim.execution.launch import default_grid, launch
from nkisim.execution.neuron_core import Watch
from nkisim.execution.numerics import COMPUTED, ShapesOnly
from nkisim.execution.taps import Snapshot, Taps, Wanted, save_snapshots
from nkisim.machine import Machine, load_machine, target_from_environment
from nkisim.observe import Capacity, Counters, Finding, Observer, standard_detectors
from nkisim.observe.dma_deadlines import DmaDeadlines
from nkisim.observe.late_reads import LateReads
from nkisim.observe.unordered_aliases import UnorderedAliases
from nkisim.report.difference import Difference
from nkisim.report.notebook import run_as_html
from nkisim.report.page import Subject, save_page
from nkisim.report.summary import Profile
from nkisim.report.text import describe_counts, describe_run
from nkisim.timing import Timer

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, repr=False)
class Run:
    """A finished simulation. `print(run)` gives its report, a notebook shows it as tables.

    Attributes:
        outputs: what the kernel returned, as NumPy or torch, like the inputs.
        profile: counts, use of memory, and the predicted time.
        findings: problems that were reported rather than raised, and notes (arguments without effect).
        wall_s: seconds the simulation took on this computer.
        taps: by tensor name, what each tapped tensor held whenever something was about to read it.
    """

    outputs: Any
    profile: Profile
    findings: list[Finding]
    wall_s: float
    taps: dict[str, list[Snapshot]] = field(default_factory=dict)

    def report(self) -> str:
        """What `nkisim run` prints: the prediction in tables, and the findings. Without the time model, the counts."""
        return describe_run(self.profile, self.findings)

    __str__ = report

    def __repr__(self) -> str:
        return f"<Run: {describe_counts(self.profile)}, findings: {len(self.findings)}>"

    def _repr_html_(self) -> str:
        """The report for a notebook."""
        return run_as_html(self.profile, self.findings)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """The report for whatever shows it; notebooks choose themselves what they `include` and `exclude`."""
        return {"text/plain": self.report(), "text/html": self._repr_html_()}

    def diff(self, after: Run) -> Difference:
        """What a later run takes longer for, or less long, by resource, engine, stage and line; `str` of it is a table.

        Raises:
            ArgumentError: one of them ran without the time model.
        """
        return self.profile.diff(after.profile)

    def save_page(self, path: str | Path, subject: Subject) -> None:
        """Write one page of HTML that needs no network: source, timeline, memory, roofline, advice; needs bokeh.

        Raises:
            PictureError: bokeh is not installed. ArgumentError: the run is without the time model.
        """
        save_page(path, self.profile, self.findings, subject)

    def save_taps(self, folder: str | Path) -> None:
        """Write every tapped array to `folder/NAME/core_0/0000.npy` and so on."""
        save_snapshots(self.taps, Path(folder))


class Simulator:
    """Runs kernels on a simulated NeuronCore, or a pair of them.

    Args:
        target: "trn2" or "trn3"; by default NEURON_PLATFORM_TARGET_OVERRIDE.
        lnc: cores (1 or 2); by default the kernel's own grid, or NEURON_LOGICAL_NC_CONFIG.
        report_only: collect problems in `Run.findings` instead of raising the first one.
        observers: more observers, called after each instruction.
        tap: names of tensors (`nl.ndarray(name=)`, or of arguments; `*` and `?` allowed) whose values to keep in
            `Run.taps`, or a mapping from such names to functions of the array, whose results are kept instead.
        dma: "eager", transfers complete at once, or "late", when the first instruction that is known to need them
            starts. Late runs simulate the kernel twice: the first time, on copies, tells the deadlines.
        numerics: False computes integers only, and of the rest nothing but shapes: for the events and the time of
            large layers. Guards and detectors run as always. Floating point arguments may repeat one element
            (`np.broadcast_to`), results are NaN, and indices or registers that follow from floats are refused.
        timing: keep what the time model needs, so that `Run.profile` can predict; False simulates a fifth faster.
    """

    _detects = True

    def __init__(
        self,
        target: str | None = None,
        lnc: int | None = None,
        *,
        report_only: bool = False,
        observers: Sequence[Observer] = (),
        tap: Wanted = (),
        dma: str = "eager",
        numerics: bool = True,
        timing: bool = True,
    ) -> None:
        if dma not in ("eager", "late"):
            raise ArgumentError("dma is 'eager' or 'late'", f"{dma!r}", "Use one of them.")
        if dma == "late" and not numerics:
            raise ArgumentError("late transfers change values only", "dma='late', numerics=False", "Drop one of them.")
        if tap and not numerics:
            raise ArgumentError("taps keep values", "tap with numerics=False", "Drop one of them.")
        self.machine: Machine = load_machine(target or target_from_environment())
        if isinstance(tap, str) or not all(isinstance(name, str) for name in tap):
            raise ArgumentError("tap is a list of names, or maps names to functions", f"{tap!r}", "Use [...].")
        self._tap = tap
        self.lnc, self.report_only, self.observers, self.dma = lnc, report_only, tuple(observers), dma
        self._numerics = COMPUTED if numerics else ShapesOnly()
        self._timing = timing

    def run(self, kernel: Any, *args: Any, **kwargs: Any) -> Run:
        """Simulate `kernel(*args, **kwargs)`.

        Raises:
            NkiValidationError: a rule of the hardware is broken, or (unless report_only) a detector found something.
        """
        late_dma = None
        if self.dma == "late":
            planner = DmaDeadlines()
            self._launch(kernel, copy.deepcopy((args, kwargs)), Watch([planner], report_only=True))
            late_dma = LateDma(planner.deadlines)
        return self._observed(kernel, (args, kwargs), self.observers, late_dma)

    def compare_dma_orders(self, kernel: Any, *args: Any, **kwargs: Any) -> Run:
        """Simulate twice, with eager and with late transfers, on copies of the arguments.

        Returns the eager run; its findings say where the bits of results or arguments first differ, what is written
        where a transfer may still be reading, and, as notes, which engines only an address orders.

        Raises:
            ArgumentError: the simulator computes no values.
            DmaOrderError: they differ, or a transfer may read too late (unless report_only).
        """
        if self._numerics is not COMPUTED:
            raise ArgumentError("comparing results needs their values", "numerics=False", "Drop it.")
        eager, late = copy.deepcopy((args, kwargs)), copy.deepcopy((args, kwargs))
        planner = DmaDeadlines()
        run = self._observed(kernel, eager, (*self.observers, planner, LateReads(), UnorderedAliases()), None)
        try:
            outputs = self._launch(kernel, late, Watch([], report_only=True), LateDma(planner.deadlines))
            difference = first_difference(run.outputs, outputs, "output") or first_difference(eager, late, "argument")
        except SimulationError as error:
            difference = f"only the run with late transfers fails: {error}"
        if difference is not None:
            watch = Watch([], self.report_only, run.findings)
            watch.add([Finding(order_error(difference, planner.deadlines))])
        return run

    def _observed(self, kernel: Any, call: Call, observers: Sequence[Observer], late_dma: LateDma | None) -> Run:
        """One launch with all detectors."""
        capacity, counters = Capacity(self.machine), Counters()
        taps = Taps(self._tap) if self._tap else None
        timer = Timer(self.machine) if self._timing else None
        readers: list[Observer] = [counters, *([timer] if timer else []), *observers]
        found = standard_detectors(capacity) if self._detects else [capacity]
        watch = Watch([*found, *readers], self.report_only, taps=taps, detects=self._detects)
        started = time.perf_counter()
        outputs = self._launch(kernel, call, watch, late_dma)
        wall = time.perf_counter() - started
        return Run(outputs, Profile(counters, capacity, timer), watch.findings, wall, taps.snapshots if taps else {})

    def _launch(self, kernel: Any, call: Call, watch: Watch, late_dma: LateDma | None = None) -> Any:
        target = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
        return launch(target.function, self._grid(target), *call, self.machine, watch, late_dma, self._numerics)

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


class Predictor(Simulator):
    """Runs kernels that are known to be right for their time alone, without numerics.

    The program and its time are those of `Simulator(numerics=False)`, bit for bit. Nothing looks for mistakes but the
    capacity of memories, guards run once for all instructions that are alike, and lines of the kernel are not kept.

    Args:
        target, lnc, observers: as in `Simulator`.
    """

    _detects = False

    def __init__(
        self, target: str | None = None, lnc: int | None = None, *, observers: Sequence[Observer] = ()
    ) -> None:
        super().__init__(target, lnc, observers=observers, numerics=False)
