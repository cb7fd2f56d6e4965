"""The PE while a program is scheduled: which part is free when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from nkisim.machine import Machine
from nkisim.timing.costs import Cost

_QUARTERS = 4


@dataclass
class Pe:
    """The PE of one core: it multiplies with one set of weights while it loads the next, and starts cold.

    `free` is kept for each of the 4 x 4 quarters of the array, because matmuls on different tiles run side by side.
    """

    machine: Machine
    free: list[float] = field(default_factory=lambda: [0.0] * _QUARTERS**2)
    last_start: float = 0.0
    warm_at: float = 0.0

    def __post_init__(self) -> None:
        number = self.machine.number
        self._ramp, self._use, self._slowdown = (
            number("pe_time.ramp"), number("pe_time.ramp_use"), number("pe_time.ramp_slowdown"),
        )  # fmt: skip
        self._recent: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def run(self, ready: float, cost: Cost) -> tuple[float, float]:
        """Start and end of the stream of a matmul whose operands are there at `ready`."""
        cells = _cells(cost.tile)
        start = max(self.free[c] for c in cells)
        start = max(start, max(ready, self.last_start) + cost.load_ns)
        if start >= self.warm_at and self._use_before(start) < self._use:
            self.warm_at = start + self._ramp
        busy = cost.busy_ns if start >= self.warm_at else cost.busy_ns * self._slowdown
        end = start + busy
        for c in cells:
            self.free[c] = end
        self.last_start = start
        self._recent.append((end, busy))
        self._used += busy
        return start, end

    def _use_before(self, now: float) -> float:
        """The share of the last few microseconds, as long as the ramp, in which the PE was busy."""
        while self._recent and self._recent[0][0] <= now - self._ramp:
            self._used -= self._recent.popleft()[1]
        return self._used / self._ramp


_ALL_CELLS = tuple(range(_QUARTERS**2))


def _cells(tile: tuple[int, int, int, int] | None) -> tuple[int, ...]:
    if tile is None:
        return _ALL_CELLS
    row, rows, column, columns = tile
    return tuple(r * _QUARTERS + c for r in range(row, row + rows) for c in range(column, column + columns))
