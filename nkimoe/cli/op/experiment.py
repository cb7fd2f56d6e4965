# SPDX-License-Identifier: Apache-2.0
"""Run one operation: draw, simulate, compare."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nkimoe import ops
from nkimoe.cli.op.agreement import Agreement
from nkimoe.cli.op.request import OpRequest
from nkimoe.cli.prediction_report import BesideRoofline
from nkimoe.ops.launch import OnCores
from nkimoe.reference.roofline import Roofline
from nkisim import Run, Simulator
from nkisim.machine import UsefulWork, load_machine, machine_peaks


@dataclass(frozen=True)
class OpSetup:
    """Where an operation runs, and on which data.

    Attributes:
        numerics: False: shapes, integers and time only; nothing is compared.
    """

    target: str
    lnc: int
    seed: int
    numerics: bool


@dataclass(frozen=True)
class OpResult:
    """What came out.

    Attributes:
        agreements: with the definition; None without numerics.
        wall_s: seconds for all of it.
    """

    request: OpRequest
    setup: OpSetup
    run: Run
    predicted: BesideRoofline
    agreements: list[Agreement] | None
    wall_s: float

    @property
    def passed(self) -> bool | None:
        """Whether all agreements hold; None without numerics."""
        return None if self.agreements is None else all(each.holds for each in self.agreements)

    def gb_per_sec(self, nbytes: int) -> float:
        """A rate, for so many bytes in the predicted time."""
        return nbytes / self.predicted.profile.latency_us / 1e3


def run_operation(request: OpRequest, setup: OpSetup) -> OpResult:
    """Draw the inputs, simulate, compute the definition, compare.

    Raises:
        RequestError: the operation cannot do what is asked.
        NkiValidationError: the kernel breaks a rule of the hardware.
    """
    started = time.perf_counter()
    arguments = request.arguments(np.random.default_rng(setup.seed))
    numerics = setup.numerics or request.computes_indices
    run = _simulated(Simulator(setup.target, setup.lnc, numerics=numerics), request.name, arguments)
    work = UsefulWork(request.useful_flops, request.useful_bytes)
    peaks = machine_peaks(load_machine(setup.target), setup.lnc, request.operands)
    return OpResult(
        request=request,
        setup=setup,
        run=run,
        predicted=BesideRoofline(run.profile, Roofline(work, peaks)),
        agreements=request.agreements(arguments, run.outputs) if setup.numerics else None,
        wall_s=time.perf_counter() - started,
    )


def _simulated(simulator: Simulator, name: str, arguments: Mapping[str, Any]) -> Run:
    """A run whose outputs are the operation's: of one that prepares its launch on the host, not the kernel's."""
    operation = getattr(ops, name)
    if not isinstance(operation, OnCores):
        return simulator.run(operation, **arguments)
    runs: list[Run] = []

    def launch(kernel: Any, *given: Any) -> Any:
        runs.append(simulator.run(kernel, *given))
        return runs[-1].outputs

    outputs = operation.launched_by(launch)(**arguments)
    (run,) = runs
    return replace(run, outputs=outputs)
