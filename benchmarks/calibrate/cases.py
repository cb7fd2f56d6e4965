"""What is compared: numbers that others published, and the work they were taken of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from calibrate.split import key, split_of
from nkisim.observe import Observer

MEASURED = "measured"
"""In place of a half of the split: single measurements are checks, one by one."""
UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "%": 1.0, "GB/s": 1.0, "ratio": 1.0}
"""What a prediction is divided by: times are predicted in nanoseconds."""


@dataclass(frozen=True)
class Figure:
    """A number that somebody measured on a device and published.

    Attributes:
        reading: how a timeline gives the same quantity, see `readings.py`.
        low, high: as published; equal where one number was.
        doubt: why it may not be what it says, or empty: a doubtful figure is shown and not counted.
    """

    reading: str
    low: float
    high: float
    unit: str
    doubt: str = ""

    @property
    def value(self) -> float:
        """The geometric mean of the range."""
        return float((self.low * self.high) ** 0.5)


@dataclass(frozen=True)
class Case:
    """Work that was measured, and is simulated here.

    Attributes:
        kernel: its name in the key of the split, or empty: a single measurement, outside the split.
        family: rows of one family are judged together.
        name: what runs.
        source: where the figures are published.
        figures: its numbers. The first one that is a time decides the split for all of them.
        remark: what a reader has to know.
    """

    kernel: str
    family: str
    name: str
    source: str
    figures: tuple[Figure, ...]
    remark: str = ""

    @property
    def key(self) -> str:
        """Key of the split."""
        return key(
            self.kernel, next(f.value * UNITS[f.unit] / 1e3 for f in self.figures if f.unit in ("ns", "us", "ms"))
        )

    @property
    def half(self) -> str:
        """FIT, TEST or MEASURED."""
        return split_of(self.key) if self.kernel else MEASURED


@dataclass(frozen=True)
class Work:
    """A case with the means to simulate it.

    Attributes:
        run: launches it under an observer, shapes only. Returns the class of its launch, see `launches.py`.
        written_in: the file or folder that decides what runs: a trace is renewed when it changes.
        gflop: how large the simulation is, about, where it may take long.
    """

    case: Case
    run: Callable[[Observer], str] = field(repr=False)
    written_in: Path = field(repr=False)
    gflop: float = 0.0


def exactly(reading: str, value: float, unit: str, doubt: str = "") -> Figure:
    """A figure that is one number."""
    return Figure(reading, value, value, unit, doubt)
