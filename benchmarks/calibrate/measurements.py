"""The table of device measurements: each one checked by a small kernel, or refused with a reason."""

from __future__ import annotations

import importlib
import math
import operator
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from calibrate import kernels
from calibrate.cases import Case, Figure, Work
from calibrate.launches import LAUNCHES, NONE
from calibrate.rows import Row
from nkisim.observe import Observer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent
_TABLE = _HERE / "measurements.toml"
_KERNELS = _HERE / "kernels"
_WITH_KERNELS = ("elementwise", "handoffs", "loops", "tensor", "transfers")
_COMPARED = {"ratio": operator.truediv, "difference": operator.sub}


@dataclass(frozen=True)
class Measurement:
    """One entry; the head of the table says what its fields are.

    Attributes:
        value, per_column: as (low, high); `value` is NaN where it is only part of another measurement.
        columns: sizes to check, or none: the kernel has its own.
    """

    what: str
    source: str
    value: tuple[float, float] = (math.nan, math.nan)
    unit: str = "ns"
    per_column: tuple[float, float] = (0.0, 0.0)
    columns: tuple[int, ...] = ()
    device: str = "trn2"
    trust: str = "high"
    kernel: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    cores: int = 1
    reading: str = ""
    of: tuple[str, ...] = ()
    remark: str = ""
    refused: str = ""

    def figures(self) -> dict[str, tuple[Figure, dict[str, Any]]]:
        """By name of a check: what was measured, and parameters of the kernel."""
        if not self.columns:
            return {self.what: (Figure(self.reading, *self.value, self.unit), self.parameters)}
        return {
            f"{self.what}, {n} columns": (self._with_columns(n), self.parameters | {"columns": n}) for n in self.columns
        }

    def case(self, name: str, figure: Figure) -> Case:
        """One check of it."""
        return Case("", f"measured, {self.device}", name, self.source, (figure,), self.remark)

    def _with_columns(self, columns: int) -> Figure:
        low, high = (value + columns * per for value, per in zip(self.value, self.per_column, strict=True))
        return Figure(self.reading, low, high, self.unit)


def table() -> list[Measurement]:
    """All entries, in the order of the file."""
    entries = tomllib.loads(_TABLE.read_text("utf-8"))["measurement"]
    return [Measurement(**{name: _read(name, value) for name, value in entry.items()}) for entry in entries]


def sources() -> dict[str, str]:
    """What the tags of sources stand for."""
    found: dict[str, str] = tomllib.loads(_TABLE.read_text("utf-8"))["sources"]
    return found


def works() -> list[Work]:
    """The checks that need a simulation."""
    return [
        Work(entry.case(name, figure), partial(_run, entry.kernel, parameters, entry.cores), _KERNELS)
        for entry in table()
        if entry.kernel
        for name, (figure, parameters) in entry.figures().items()
    ]


def derived(rows: list[Row]) -> list[Row]:
    """The checks that compare two others, whose rows are among `rows`."""
    bodies = {row.case.name: row.body for row in rows}
    found = []
    for entry in table():
        parts = [body for name in entry.of if (body := bodies.get(name)) is not None]
        if parts and len(parts) == len(entry.of):
            figure = Figure(entry.reading, *entry.value, entry.unit)
            compared = _COMPARED[entry.reading](*parts)
            found.append(Row(entry.case(entry.what, figure), figure, NONE, LAUNCHES[NONE], compared))
    return found


def _run(kernel: str, parameters: dict[str, Any], cores: int, observer: Observer) -> str:
    for module in _WITH_KERNELS:
        importlib.import_module(f"calibrate.kernels.{module}")
    kernels.run(observer, kernel, parameters, cores)
    return NONE


def _read(name: str, value: Any) -> Any:
    """A range where one number stands; tuples for lists."""
    if name in ("value", "per_column"):
        low, high = value if isinstance(value, list) else (value, value)
        return float(low), float(high)
    return tuple(value) if isinstance(value, list) else value
