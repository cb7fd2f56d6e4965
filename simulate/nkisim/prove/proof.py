# SPDX-License-Identifier: Apache-2.0
"""Runs both kernels on the same arguments, and says whether and where they differ, and how long each takes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ArgumentError, Location, SimulationError, definition_of, is_kernel, location_in, retold
from nkisim.execution.arguments import is_torch, torch_to_numpy
from nkisim.execution.kernel import Kernel
from nkisim.execution.launch import default_grid, launch
from nkisim.execution.neuron_core import Watch
from nkisim.machine import Machine, load_machine, target_from_environment
from nkisim.memory import NkiTensor
from nkisim.observe import Capacity, Counters, standard_detectors
from nkisim.prove.compare import FirstDifference, first_difference, rounding
from nkisim.prove.variants import ArgumentSet, Named, variants
from nkisim.prove.writers import Writers
from nkisim.report.summary import Profile
from nkisim.timing import Timer


@dataclass(frozen=True)
class Trial:
    """Both kernels on one set of arguments.

    Attributes:
        arguments: what they are.
        outcome: "equal", "differs", "stops" where the new kernel ends in an error, "refused" where the old one does, or
            "narrower" where only the new one refuses a size.
        detail: what differs, or was said.
        old_line, new_line: what wrote the first element that differs. Where the new kernel stops, new_line is where,
            and old_line what wrote the first element of the result that it had not written yet.
    """

    arguments: str
    outcome: str
    detail: str = ""
    old_line: Location | None = None
    new_line: Location | None = None

    def __str__(self) -> str:
        lines = [f"{self.outcome:8s} {self.arguments}" + (f": {self.detail}" if self.detail else "")]
        stops = self.outcome in ("stops", "narrower")
        lines += [f"         old: written at {self.old_line}"] if self.old_line else []
        lines += [f"         new: {'stops' if stops else 'written'} at {self.new_line}"] if self.new_line else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Proof:
    """What became of all trials.

    Attributes:
        old_us, new_us: predicted latencies for the arguments as given, never measured; None where the new kernel stops.
        is_lower_bound: the old kernel does something that has no time.
    """

    trials: tuple[Trial, ...]
    old_us: float
    new_us: float | None
    is_lower_bound: bool

    @property
    def is_equal(self) -> bool:
        """Whether the kernels agreed wherever the old one accepts the arguments."""
        return all(trial.outcome not in ("differs", "stops") for trial in self.trials)

    def __str__(self) -> str:
        equal = sum(trial.outcome == "equal" for trial in self.trials)
        refused = sum(trial.outcome == "refused" for trial in self.trials)
        narrower = sum(trial.outcome == "narrower" for trial in self.trials)
        verdict = "equal to rounding" if self.is_equal else "not equal"
        least = "at least " if self.is_lower_bound else ""
        new = "the new one stops" if self.new_us is None else f"new {self.new_us:.2f} us"
        return "\n".join((
            *map(str, self.trials),
            f"{verdict}: {equal} of {len(self.trials)} sets of arguments agree, the old kernel refuses {refused}, "
            f"the new one {narrower} more",
            f"predicted, not measured: old {least}{self.old_us:.2f} us, {new}",
        ))  # fmt: skip


@dataclass
class _Done:
    outputs: list[Array]
    tensors: list[NkiTensor]
    writers: Writers
    latency_us: float
    is_lower_bound: bool


def prove(old: Any, new: Any, named: Named, target: str | None = None) -> Proof:
    """Try both kernels with the arguments and with what is made of them.

    Args:
        old: a kernel of NKI 0.1; new: the one for the current NKI, with its parameters in the same order.
        named: the arguments of the old kernel by name.
        target: what both run on; NEURON_PLATFORM_TARGET_OVERRIDE if there is none.

    Raises:
        ArgumentError: the old kernel does not run with the arguments as given.
    """
    machine = load_machine(target or target_from_environment())
    trials: list[Trial] = []
    first: tuple[_Done, _Done | None] | None = None
    for variant in variants(named):
        trial, done = _tried(old, new, variant, machine)
        trials.append(trial)
        if first is None:
            if done is None:
                raise ArgumentError("the old kernel runs with the arguments as given", trial.detail, "Pass others.")
            first = done
    assert first is not None
    before, after = first
    new_us = None if after is None else after.latency_us
    return Proof(tuple(trials), before.latency_us, new_us, before.is_lower_bound)


def _tried(
    old: Any, new: Any, variant: ArgumentSet, machine: Machine
) -> tuple[Trial, tuple[_Done, _Done | None] | None]:
    what, arguments, has_other_sizes = variant
    try:
        before = _run_old(old, copy.deepcopy(arguments), machine)
    except Exception as error:  # an assert, a rule, an index: whatever guards the old kernel
        return Trial(what, "refused", f"the old kernel: {_said(error)}"), None
    if not all(before.writers.is_whole(tensor) for tensor in before.tensors):
        return Trial(what, "refused", "the old kernel leaves elements of its result unwritten"), None
    writers = Writers()
    try:
        after = _run_new(new, copy.deepcopy(arguments), machine, writers)
    except Exception as error:
        outcome, said = "narrower" if has_other_sizes else "stops", f"the new kernel stops: {_said(error)}"
        return Trial(what, outcome, said, _missing(before, writers), _stopped(error, new)), (before, None)
    step = rounding([*(v for v in arguments.values() if isinstance(v, np.ndarray)), *before.outputs])
    found = first_difference(before.outputs, after.outputs, step)
    if found is None:
        return Trial(what, "equal"), (before, after)
    return Trial(what, "differs", str(found), _line(before, found), _line(after, found)), (before, after)


def _line(done: _Done, difference: FirstDifference | str) -> Location | None:
    """What wrote the first element that differs; of results of other forms, the first of all."""
    if isinstance(difference, str):
        return done.writers.of(done.tensors[0], (0,) * done.tensors[0].ndim)
    return done.writers.of(done.tensors[difference.output], difference.index)


def _missing(done: _Done, stopped: Writers) -> Location | None:
    """What wrote the first element of the result that a kernel with these writers had not written when it stopped."""
    for tensor in done.tensors:
        index = stopped.first_unwritten(tensor.shape)
        if index is not None:
            return done.writers.of(tensor, index)
    return None


def _stopped(error: Exception, kernel: Any) -> Location:
    """The line of the kernel at which it stopped: its first where it could not be called."""
    place = error.where if isinstance(error, SimulationError) else location_in(error.__traceback__)
    if is_kernel[place.file]:
        return place
    return definition_of(getattr(kernel, "function", kernel))


def _said(error: Exception) -> str:
    """An error in one line, with the line of the kernel."""
    return f"{type(error).__name__}: {error}" if isinstance(error, SimulationError) else retold(error)


def _capturing(function: Callable[..., Any], tensors: list[NkiTensor]) -> Callable[..., Any]:
    """The function, which also keeps the tensors it returns."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        tensors.extend(result if isinstance(result, (list, tuple)) else [result])
        return result

    return call


def _run_old(kernel: Any, arguments: Named, machine: Machine) -> _Done:
    from nkisim.legacy.benchmarks import predicted
    from nkisim.legacy.kernel import LegacyKernel, jit

    launched = kernel if isinstance(kernel, LegacyKernel) else jit(kernel)
    tensors, writers = list[NkiTensor](), Writers()
    launched = LegacyKernel(launched.body, launched.programs)
    launched.function = _capturing(launched.function, tensors)
    outputs, latency = predicted(launched, machine, (), arguments, [writers])
    if outputs is None:
        raise ArgumentError(
            "the kernel returns its result", f"None from {launched.body.__name__}", "Return the output tensor."
        )
    return _Done(_arrays(outputs), tensors, writers, latency.predicted_us, bool(latency.untimed))


def _run_new(kernel: Any, arguments: Named, machine: Machine, writers: Writers) -> _Done:
    launched = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
    tensors = list[NkiTensor]()
    captured = _capturing(launched.function, tensors)
    timer, counters, capacity = Timer(machine), Counters(), Capacity(machine)
    watch = Watch([*standard_detectors(capacity), counters, timer, writers], report_only=False)
    outputs = launch(captured, default_grid(launched.grid), tuple(arguments.values()), {}, machine, watch)
    return _Done(_arrays(outputs), tensors, writers, Profile(counters, capacity, timer).latency_us, False)


def _arrays(outputs: Any) -> list[Array]:
    given = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [torch_to_numpy(each) if is_torch(each) else np.asarray(each) for each in given]
