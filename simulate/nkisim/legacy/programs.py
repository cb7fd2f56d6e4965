# SPDX-License-Identifier: Apache-2.0
"""What a launch of NKI 0.1 is doing: the program of its grid, the tensors all programs share, lines without a time."""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass, field

from nkisim.errors import ArgumentError, LaunchError, Location, kernel_location
from nkisim.legacy.tile import Tile


@dataclass
class Launch:
    """A running launch.

    Attributes:
        grid: sizes of its axes, () for a plain call; program: the index of the program that runs now.
        shared: what earlier programs allocated in shared HBM, given to this one in the same order; used: how many.
        untimed: lines whose work no instruction of the current NKI does in one, so that their time is missing.
        reductions: what `nl.loop_reduce` has reduced so far, by its line.
        names: of its tensors.
    """

    grid: tuple[int, ...] = ()
    program: tuple[int, ...] = ()
    shared: list[Tile] = field(default_factory=list)
    used: int = 0
    untimed: set[Location] = field(default_factory=set)
    reductions: dict[Location, Tile] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def unused(self, name: str) -> str:
        """The name if no tensor of the launch has it yet, else "": loops and programs make what is named once again."""
        known = name in self.names
        self.names.add(name)
        return "" if known else name


LAUNCH: ContextVar[Launch | None] = ContextVar("LAUNCH", default=None)


def current() -> Launch:
    """The launch that runs now.

    Raises:
        LaunchError: none does.
    """
    launch = LAUNCH.get()
    if launch is None:
        raise LaunchError(
            "instructions run inside a kernel", "a call outside of any", "Call it in an @nki.jit function."
        )
    return launch


def without_time() -> None:
    """Note that the line executing now does something that has no time in the prediction."""
    current().untimed.add(kernel_location())


def program_id(axis: int) -> int:
    """Index of the running program along an axis of the launch grid.

    Raises:
        ArgumentError: the grid has no such axis.
    """
    grid = current().grid
    if not -len(grid) <= axis < len(grid):
        raise ArgumentError("an axis of the launch grid", f"{axis} of {grid}", "Launch kernel[n](...).")
    return current().program[axis]


def num_programs(axes: int | tuple[int, ...] | None = None) -> int:
    """Programs along the given axes of the launch grid, in all of it if none are given."""
    grid = current().grid
    chosen = range(len(grid)) if axes is None else (axes,) if isinstance(axes, int) else axes
    return math.prod(grid[axis] for axis in chosen)


def program_ndim() -> int:
    """Axes of the launch grid."""
    return len(current().grid)
