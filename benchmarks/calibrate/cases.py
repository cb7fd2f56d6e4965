"""What is compared: a published number, and how to predict it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Predictions = dict[str, float]


@dataclass(frozen=True)
class Published:
    """A number that somebody measured on hardware and published.

    Attributes:
        metric: what it is; the key under which the prediction of a case has it.
        value, unit: as published.
        fitted: keys of the machine file that were set with the help of this number; such a row proves nothing.
        doubt: why the number may not be what it says, or empty: a doubtful row is shown and not counted.
    """

    metric: str
    value: float
    unit: str
    fitted: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Case:
    """Work that was measured, and is simulated here.

    Attributes:
        group: heading of the table.
        name: what runs.
        source: where the numbers are published.
        published: its numbers.
        predict: simulates it; a prediction for each metric.
        gflop: how large the simulation is, about.
    """

    group: str
    name: str
    source: str
    published: tuple[Published, ...]
    predict: Callable[[], Predictions] = field(repr=False)
    gflop: float = 0.0

    def rows(self, result: dict[str, Any]) -> list[dict[str, Any]]:
        """A row of the report for each published number, given the result of `predict`, or an error in its place."""
        return [self._row(number, result) for number in self.published]

    def _row(self, number: Published, result: dict[str, Any]) -> dict[str, Any]:
        predicted = result.get("predicted", {}).get(number.metric)
        return {
            "group": self.group,
            "name": self.name,
            "metric": number.metric,
            "unit": number.unit,
            "published": number.value,
            "predicted": predicted,
            "ratio": None if predicted is None else predicted / number.value,
            "fitted": list(number.fitted),
            "doubt": number.doubt,
            "source": self.source,
            "wall_s": result.get("seconds"),
            "error": (result.get("message") or "not finished in the time given") if predicted is None else "",
        }
