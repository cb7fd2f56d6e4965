# SPDX-License-Identifier: Apache-2.0
"""Kernels of NKI 0.1: launched on grids of any shape, one program after the other on one simulated core."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, LaunchError, Location
from nkisim.execution.kernel import Kernel
from nkisim.execution.launch import launch
from nkisim.execution.neuron_core import Watch, is_running
from nkisim.legacy.programs import LAUNCH, Launch
from nkisim.legacy.tile import Tile
from nkisim.machine import Machine, load_machine, target_from_environment
from nkisim.memory import NkiTensor, first_unwritten, read, resolve, write
from nkisim.observe import Capacity, Observer, standard_detectors

MODES = ("auto", "jax", "torchxla", "baremetal", "benchmark", "simulation", "trace")


class LegacyKernel(Kernel):
    """A kernel function of NKI 0.1; `kernel[4, 2]` chooses a grid of programs.

    To the core it is a kernel without a grid, whose function takes and returns the core's tensors.

    Attributes:
        body: the function; programs: the grid; untimed: lines of its last run whose work has no time.
    """

    def __init__(self, function: Callable[..., Any], programs: tuple[int, ...] = ()) -> None:
        self.body, self.programs = function, programs
        self.untimed: tuple[Location, ...] = ()
        super().__init__(_adapted(self))

    def __getitem__(self, grid: Any) -> LegacyKernel:
        sizes = grid if isinstance(grid, tuple) else (grid,)
        if not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
            raise LaunchError("a launch grid counts programs", f"[{grid!r}]", "Use kernel[4], kernel[4, 2].")
        return LegacyKernel(self.body, tuple(int(size) for size in sizes))

    def __reduce__(self) -> tuple[object, ...]:
        return LegacyKernel, (self.body, self.programs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_running():
            return self.body(*args, **kwargs)
        return run(self, load_machine(target_from_environment()), [], args, kwargs)


def run(
    kernel: LegacyKernel, machine: Machine, observers: list[Observer], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Simulate `kernel(*args, **kwargs)` on a machine with more observers.

    The old compiler chose where tiles live and spilled them, so that capacity is checked for direct allocation alone.

    Raises:
        NkiValidationError: a rule is broken, or a detector found something.
    """
    detectors = [each for each in standard_detectors(Capacity(machine)) if not isinstance(each, Capacity)]
    watch = Watch([*detectors, *observers], report_only=False)
    return launch(kernel.function, (), args, kwargs, machine, watch)


def _adapted(kernel: LegacyKernel) -> Callable[..., Any]:
    """The kernel's function on tensors of the core, for every program of its grid."""

    @functools.wraps(kernel.body)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = Launch(kernel.programs)
        inputs = _each(args, _as_tile, NkiTensor), _each(kwargs, _as_tile, NkiTensor)
        token = LAUNCH.set(given)
        try:
            for program in itertools.product(*(range(size) for size in kernel.programs)):
                given.program, given.used = program, 0
                result = kernel.body(*inputs[0], **inputs[1])
        finally:
            LAUNCH.reset(token)
            kernel.untimed = tuple(sorted(given.untimed))
        return _each(result, _as_tensor, Tile)

    return call


def _each(value: Any, change: Callable[[Any], Any], kind: type) -> Any:
    if isinstance(value, kind):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(_each(item, change, kind) for item in value)
    if type(value) is dict:
        return {key: _each(item, change, kind) for key, item in value.items()}
    return value


def _as_tile(tensor: NkiTensor) -> Tile:
    return Tile.of(tensor)


def _as_tensor(tile: Tile) -> NkiTensor:
    tensor = tile.core()
    if tensor is None or not tile.buffer.is_hbm:
        raise LaunchError("kernels return tensors in HBM", f"{tile!r}", "Store it to an nl.shared_hbm tensor.")
    region = resolve(tensor)
    if first_unwritten(region) is not None:  # that was no error: whoever called ignored these elements
        write(region, read(region).copy())
    return tensor


def jit(func: Callable[..., Any] | None = None, mode: str = "auto", **_: Any) -> Any:
    """Make a function a kernel; every mode simulates, and `benchmark` predicts.

    Raises:
        ArgumentError: there is no such mode.
    """
    if mode not in MODES:
        raise ArgumentError(f"mode is one of {', '.join(MODES)}", f"{mode!r}", "Drop mode=.")
    if func is None:
        return functools.partial(jit, mode=mode)
    return LegacyKernel(func.body if isinstance(func, LegacyKernel) else func)


def simulate_kernel(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """`kernel(*args, **kwargs)` on this computer."""
    return (kernel if isinstance(kernel, LegacyKernel) else LegacyKernel(getattr(kernel, "body", kernel)))(
        *args, **kwargs
    )


def baremetal(kernel: Callable[..., Any] | None = None, **_: Any) -> Any:
    """Make a function a kernel that takes NumPy arrays; it is simulated, and writes no files."""
    return baremetal if kernel is None else jit(kernel)


class CoreAxis(int):
    """`nl.nc(2)`: an axis of the grid over cores, which are simulated one after the other."""

    def __mul__(self, other: int) -> int:
        return int(self) * int(other)


def nc(count: int) -> CoreAxis:
    """An axis of the launch grid over cores."""
    return CoreAxis(count)


def spmd_dim(*sizes: int) -> int:
    """An axis of the launch grid that consists of several."""
    return math.prod(int(size) for size in sizes)
