# SPDX-License-Identifier: Apache-2.0
"""Launching a kernel: arguments in, cores run, results out. No thread outlives a launch.

Matrix products run on one processor: tiles are too small to share, and the bits do not depend on the machine.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import start_new_thread
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from queue import SimpleQueue
from typing import Any

from threadpoolctl import ThreadpoolController

from nkisim.errors import LaunchError, location_in
from nkisim.execution.arguments import Arguments
from nkisim.execution.garbage import rarely_collected
from nkisim.execution.late_dma import LateDma
from nkisim.execution.neuron_core import NeuronCore, Watch, call_on, is_running, leave
from nkisim.execution.numerics import COMPUTED, Numerics
from nkisim.execution.rendezvous import CoreStopped, Rendezvous
from nkisim.execution.shared_memory import SharedMemory
from nkisim.machine import Machine

_BLAS = ThreadpoolController()


@dataclass
class _Outcome:
    results: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, BaseException] = field(default_factory=dict)


def launch(
    function: Callable[..., Any],
    grid: tuple[int, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    machine: Machine,
    watch: Watch,
    late_dma: LateDma | None = None,
    numerics: Numerics = COMPUTED,
) -> Any:
    """Run `function` on every core of `grid` and return its result as host arrays.

    A kernel function may carry an attribute `check_inputs`, called by argument name with the host arrays before
    anything runs: the place to reject values that shapes cannot show.

    Raises:
        LaunchError: a kernel is running already, or its calls nest too deep.
        NkiValidationError: a rule of the hardware is broken.
        Exception: whatever the kernel itself raises.
    """
    cores = _core_count(grid)
    _check_call(function, args, kwargs)
    arguments = Arguments.wrap(function, args, kwargs, None if cores > 1 else 0, numerics)
    if watch.taps is not None:
        for tensor in arguments.tensors:
            watch.taps.watch(tensor)
    rendezvous, shared, outcome = Rendezvous(cores), SharedMemory(), _Outcome()
    members = [NeuronCore(i, grid, machine, watch, rendezvous, shared) for i in range(cores)]
    if late_dma is not None:
        late_dma.begin((arguments.args, arguments.kwargs))
    for core in members:
        core.late_dma, core.numerics = late_dma, numerics

    def run(core: NeuronCore) -> None:
        try:
            rendezvous.start(core.identity)
            outcome.results[core.identity] = call_on(core, function, arguments.args, arguments.kwargs)
            rendezvous.finish(core.identity)
        except BaseException as raised:
            error = _too_deep(raised) if isinstance(raised, RecursionError) else raised
            outcome.errors[core.identity] = error
            rendezvous.fail(error)

    with _BLAS.limit(limits=1, user_api="blas"), rarely_collected():
        _run_all(run, members, rendezvous)
    _raise_first(outcome.errors)
    if late_dma is not None:
        late_dma.finish()
    if watch.taps is not None:
        watch.taps.finish()
    results = arguments.unwrap(outcome.results[0], watch)
    watch.finish()
    return results


def _run_all(run: Callable[[NeuronCore], None], members: list[NeuronCore], rendezvous: Rendezvous) -> None:
    """`run` every core, core 0 in the caller's thread, so that debuggers work.

    An interrupt of the host strikes the caller's thread between any two steps, also outside of `run`: then, too, all
    cores stop. `threading.Thread` is not used, since its `start` takes locks that an interrupt may leave behind.
    """
    started: list[int] = []
    ended: list[int] = []
    failed: list[BaseException] = []
    news: SimpleQueue[None] = SimpleQueue()
    # As `threading.Thread` does, for coverage; else that of the caller, so that pdb stops on both cores.
    trace = threading.gettrace() or sys.gettrace()

    def run_other(core: NeuronCore) -> None:
        try:
            sys.settrace(trace)
            run(core)
        except BaseException as error:  # of a debugger that quits, outside of what `run` guards
            sys.settrace(None)
            failed.append(error)
            rendezvous.fail(error)
        finally:
            ended.append(core.identity)
            news.put(None)

    def wait() -> None:
        while len(ended) < len(started):
            news.get()

    try:
        # In one step: every thread that runs is in the list.
        started.extend(map(start_new_thread, repeat(run_other), [(core,) for core in members[1:]]))
        run(members[0])
        wait()
        if failed:
            raise failed[0]
    except BaseException as error:
        rendezvous.fail(error)
        wait()
        raise
    finally:
        leave()


def _check_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A launch starts outside of kernels, with inputs that the kernel accepts."""
    if is_running():
        raise LaunchError(
            "a launch starts outside of kernels", "a launch inside a kernel", "Call the @nki.jit function itself."
        )
    check_inputs: Callable[..., None] | None = getattr(function, "check_inputs", None)
    if check_inputs is not None:
        check_inputs(**Arguments.host(function, args, kwargs))


def _too_deep(error: RecursionError) -> LaunchError:
    problem = LaunchError(
        f"calls and device loops of a kernel nest within Python's {sys.getrecursionlimit()} frames",
        "more",
        "Nest fewer loops, end the recursion, or call sys.setrecursionlimit.",
        location_in(error.__traceback__),
    )
    problem.__cause__ = error
    return problem


def _raise_first(errors: dict[int, BaseException]) -> None:
    real = [error for _, error in sorted(errors.items()) if not isinstance(error, CoreStopped)]
    if real:
        raise real[0]


def _core_count(grid: tuple[int, ...]) -> int:
    if len(grid) > 1 or (grid and grid[0] not in (1, 2)):
        raise LaunchError(
            "a launch grid is kernel[1] or kernel[2], the cores of one logical NeuronCore",
            f"{grid}",
            "Use [1] or [2].",
        )
    return grid[0] if grid else 1


def default_grid(given: tuple[int, ...]) -> tuple[int, ...]:
    """The launch grid, from the call site or NEURON_LOGICAL_NC_CONFIG.

    Raises:
        LaunchError: the two disagree.
    """
    configured = os.environ.get("NEURON_LOGICAL_NC_CONFIG")
    if configured is None:
        return given
    if configured not in ("1", "2"):
        raise LaunchError("NEURON_LOGICAL_NC_CONFIG is 1 or 2", f"{configured!r}", "Set it to 1 or 2, or unset it.")
    if given and given != (int(configured),):
        raise LaunchError(
            "the launch grid matches NEURON_LOGICAL_NC_CONFIG",
            f"kernel[{given[0]}] with NEURON_LOGICAL_NC_CONFIG={configured}",
            "Launch without a grid, or change the variable.",
        )
    return (int(configured),)
