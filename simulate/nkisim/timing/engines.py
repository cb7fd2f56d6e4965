# SPDX-License-Identifier: Apache-2.0
"""The engines while a program is scheduled: when they work on what they are given."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

from nkisim.machine import Machine
from nkisim.timing.costs import Cost

_QUARTERS = 4


Stretch = tuple[float, float, float, float]
"""When an engine begins an instruction and ends it, when it can be given the next one, and when the result is there."""


class TimedEngine(Protocol):
    """Runs the instructions of one stream, in order."""

    def run(self, at: float, ready: float, cost: Cost) -> Stretch:
        """An instruction that is issued at `at`, and whose operands are there at `ready`."""
        ...


def engine_of(queue: str, machine: Machine) -> TimedEngine:
    """The engine that runs what the queue of this name issues."""
    return Pe(machine) if queue == "tensor" else PlainEngine(machine)


class PlainEngine:
    """An engine that does one thing after another, and loads a function table where it holds another one."""

    def __init__(self, machine: Machine) -> None:
        self._table_load = machine.number("act_time.table_load")
        self._table: str | None = None

    def run(self, at: float, ready: float, cost: Cost) -> Stretch:
        """As `TimedEngine.run`."""
        if cost.table is not None and cost.table != self._table:
            self._table, at = cost.table, at + self._table_load
        end, done = at + cost.busy_ns, at + cost.latency_ns
        return at, end, end, done if done > end else end


@dataclass
class Pe:
    """The PE of one core: it multiplies with one set of weights while it loads the next, and starts at half clock.

    Time is cut into windows, and in each the PE runs at full or at half clock: full exactly if it did enough work in
    the window before. A pause of a window or more, and the start, therefore cost a window or two at half clock. Where
    the windows lie is not known to a kernel; here the first one begins with the launch.

    `free` is kept for each of the 4 x 4 quarters of the array, because matmuls on different tiles run side by side;
    it is None while all are free at once. `all_free` is the latest of them.
    """

    machine: Machine
    free: list[float] | None = None
    all_free: float = 0.0

    def __post_init__(self) -> None:
        number = self.machine.number
        self._length, self._slowdown = number("pe_time.window"), number("pe_time.slowdown")
        self._enough = number("pe_time.window_use") * self._length
        self._window, self._work, self._is_full = 0, 0.0, False

    def run(self, at: float, ready: float, cost: Cost) -> Stretch:
        """The stream of a matmul, not before `at`, whose operands are there at `ready`."""
        tile, busy, loaded, free, begin = cost.tile, cost.busy_ns, ready + cost.load_ns, self.free, self.all_free
        if tile is not None and free is not None:
            begin = max([free[c] for c in _cells(tile)])
        if at > begin:
            begin = at
        if loaded > begin:
            begin = loaded
        window = int(begin / self._length)
        if window != self._window:
            self._enter(window)
        end = begin + (busy if self._is_full else busy * self._slowdown)
        self._work += busy * cost.counted
        if tile is None:
            self.free, self.all_free = None, end
        else:
            free = self.free = free or [self.all_free] * _QUARTERS**2
            for c in _cells(tile):
                free[c] = end
            if end > self.all_free:
                self.all_free = end
        done = begin + cost.latency_ns + (end - begin - busy)
        return begin, end, begin, done if done > end else end

    def _enter(self, window: int) -> None:
        """The clock of the window that a matmul starts in, another than the one before; work counts where it starts."""
        self._is_full = window == self._window + 1 and self._work >= self._enough
        self._window, self._work = window, 0.0


@functools.cache
def _cells(tile: tuple[int, int, int, int]) -> tuple[int, ...]:
    row, rows, column, columns = tile
    return tuple(r * _QUARTERS + c for r in range(row, row + rows) for c in range(column, column + columns))
