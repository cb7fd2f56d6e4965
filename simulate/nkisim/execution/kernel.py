# SPDX-License-Identifier: Apache-2.0
"""`nki.jit` and `nki.simulate`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, LaunchError
from nkisim.execution.launch import default_grid, launch
from nkisim.execution.neuron_core import Watch, is_running
from nkisim.machine import load_machine, target_from_environment
from nkisim.observe import Capacity, standard_detectors


class Kernel:
    """A kernel function. `kernel[2]` chooses the launch grid; a call simulates, or inlines inside another kernel."""

    def __init__(self, function: Callable[..., Any], grid: tuple[int, ...] = ()) -> None:
        functools.update_wrapper(self, function)
        self.function, self.grid = function, grid

    def __getitem__(self, grid: int | tuple[int, ...]) -> Kernel:
        sizes = grid if isinstance(grid, tuple) else (grid,)
        if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in sizes):
            raise LaunchError("a launch grid counts cores", f"[{grid!r}]", "Use kernel[2], or kernel[1].")
        return Kernel(self.function, tuple(int(n) for n in sizes))

    def __reduce__(self) -> str | tuple[object, ...]:
        """Pickled by name: what a module calls like this is the kernel, no longer the function it was made of."""
        named = getattr(sys.modules.get(self.function.__module__), self.function.__qualname__, None)
        if named is self:
            return self.function.__qualname__
        if isinstance(named, Kernel) and named.function is self.function:
            return Kernel.__getitem__, (named, self.grid)
        return Kernel, (self.function, self.grid)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not is_running():
            return simulate(self)(*args, **kwargs)
        if self.grid:
            raise LaunchError(
                "a kernel called inside a kernel runs on the caller's grid",
                f"[{self.grid[0]}]",
                "Drop the brackets.",
            )
        return self.function(*args, **kwargs)


def jit(fn: Callable[..., Any]) -> Kernel:
    """Decorator that makes a function a kernel. Off device every call is simulated."""
    return Kernel(fn)


def simulate(kernel: Any) -> Callable[..., Any]:
    """A callable that runs `kernel` on this CPU, NumPy or torch in, the same out.

    The target is NEURON_PLATFORM_TARGET_OVERRIDE. Problems that detectors find (races, reads of unwritten memory,
    capacity ...) raise; NKISIM_FINDINGS=report turns those into warnings. `nkisim.Simulator` gives access to the rest.
    """
    if not callable(kernel):
        raise ArgumentError("nki.simulate takes a kernel", f"{kernel!r}", "Pass the @nki.jit function itself.")
    target = kernel if isinstance(kernel, Kernel) else Kernel(kernel)

    @functools.wraps(target.function)
    def run(*args: Any, **kwargs: Any) -> Any:
        machine = load_machine(target_from_environment())
        report_only = os.environ.get("NKISIM_FINDINGS", "raise") == "report"
        watch = Watch(standard_detectors(Capacity(machine)), report_only)
        result = launch(target.function, default_grid(target.grid), args, kwargs, machine, watch)
        if report_only:
            _warn(watch)
        return result

    return run


def _warn(watch: Watch) -> None:
    import warnings

    for finding in watch.findings:
        warnings.warn(str(finding), RuntimeWarning, stacklevel=3)
