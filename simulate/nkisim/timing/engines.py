# SPDX-License-Identifier: Apache-2.0
"""The PE while a program is scheduled: which part is free when, and how fast its clock is."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from nkisim.machine import Machine
from nkisim.timing.costs import Cost

_QUARTERS = 4


@dataclass
class Pe:
    """The PE of one core: it multiplies with one set of weights while it loads the next, and starts at half clock.

    Time is cut into windows, and in each the PE runs at full or at half clock: full exactly if it did enough work in
    the window before. A pause of a window or more, and the start, therefore cost a window or two at half clock. Where
    the windows lie is not known to a kernel; here the first one begins with the launch.

    `free` is kept for each of the 4 x 4 quarters of the array, because matmuls on different tiles run side by side;
    `all_free` is the latest of them.
    """

    machine: Machine
    free: list[float] = field(default_factory=lambda: [0.0] * _QUARTERS**2)
    all_free: float = 0.0

    def __post_init__(self) -> None:
        number = self.machine.number
        self._length, self._slowdown = number("pe_time.window"), number("pe_time.slowdown")
        self._enough = number("pe_time.window_use") * self._length
        self._window, self._work, self._is_full = 0, 0.0, False

    def run(self, at: float, ready: float, cost: Cost) -> tuple[float, float]:
        """Start and end of the stream of a matmul, not before `at`, whose operands are there at `ready`."""
        cells = None if cost.tile is None else _cells(cost.tile)
        start = max(at, ready + cost.load_ns, self.all_free if cells is None else max(self.free[c] for c in cells))
        self._enter(int(start / self._length))
        end = start + (cost.busy_ns if self._is_full else cost.busy_ns * self._slowdown)
        self._work += cost.busy_ns * cost.counted
        if cells is None:
            self.free, self.all_free = [end] * _QUARTERS**2, end
            return start, end
        for c in cells:
            self.free[c] = end
        self.all_free = max(self.all_free, end)
        return start, end

    def _enter(self, window: int) -> None:
        """The clock of the window that a matmul starts in; work is counted where it starts."""
        if window != self._window:
            self._is_full = window == self._window + 1 and self._work >= self._enough
            self._window, self._work = window, 0.0


@functools.cache
def _cells(tile: tuple[int, int, int, int]) -> tuple[int, ...]:
    row, rows, column, columns = tile
    return tuple(r * _QUARTERS + c for r in range(row, row + rows) for c in range(column, column + columns))
