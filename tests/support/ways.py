"""The two ways to compute a schedule, and a PE to give matmuls to."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nkisim.machine import Machine
from nkisim.timing.costs import Cost
from nkisim.timing.flat.layout import rates_of, works_of
from nkisim.timing.flat.pe import multiply
from nkisim.timing.flat.records import CELLS, QUEUE, Queue
from nkisim.timing.flat.ways import PLAIN, Compiled, cache_folder

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")


def compiled(otherwise: Path) -> Compiled:
    """Compiled code, kept where it always is, so that it is compiled once; in `otherwise` where nothing can be."""
    return Compiled(cache_folder() or otherwise)


class OnePe:
    """A PE before its first matmul."""

    def __init__(self, machine: Machine) -> None:
        self._rates, self._cells = rates_of(machine), [0.0] * CELLS
        self._queue = Queue(
            0, 0, 0, 1, 0.0, 1, 0.0, 1, 0, 0, 0, 0, -1, 0.0, -1, QUEUE, 0, -1, 0, 0.0, 0, 0.0, 0
        )  # fmt: skip

    def run(self, at: float, ready: float, cost: Cost) -> tuple[float, float, float, float]:
        """When the matmul begins and ends, when the next one can be given to the PE, and when the result is there."""
        begin, end, done = multiply(
            self._queue, self._cells, at, ready, works_of([cost], PLAIN)[0], self._rates
        )  # fmt: skip
        return begin, end, begin, done
