"""A published number beside the prediction of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calibrate.cases import UNITS, Case, Figure
from calibrate.launches import Launch
from calibrate.readings import LATENCY


@dataclass(frozen=True)
class Row:
    """One figure of a case, and what the clock says; predictions are in the unit of the figure.

    Attributes:
        launch_class, launch: how it was launched and timed, and what that costs.
        body: the prediction without a launch, or None: none was made.
        body_range: the interval of `body`, where the clock gives one.
        error: why there is no prediction, or empty.
    """

    case: Case
    figure: Figure
    launch_class: str
    launch: Launch
    body: float | None = None
    body_range: tuple[float, float] | None = None
    error: str = ""

    @property
    def predicted(self) -> float | None:
        """With the launch, where it is part of the figure."""
        return None if self.body is None else self.body + self._launched("nominal")

    @property
    def interval(self) -> tuple[float, float] | None:
        """Between which values the figure should be, where the clock says."""
        if self.body_range is None:
            return None
        low, high = self.body_range
        return low + self._launched("low"), high + self._launched("high")

    @property
    def ratio(self) -> float:
        """Predicted over published; of a range over its nearer end, and 1 inside."""
        assert self.predicted is not None
        return self.predicted / min(max(self.predicted, self.figure.low), self.figure.high)

    @property
    def holds(self) -> bool:
        """Whether the published value is in the interval."""
        return self.interval is not None and self.interval[0] <= self.figure.value <= self.interval[1]

    @property
    def counts(self) -> bool:
        """Whether it says how good predictions are."""
        return self.predicted is not None and not self.figure.doubt

    def _launched(self, which: str) -> float:
        if self.figure.reading != LATENCY:
            return 0.0
        return float(getattr(self.launch, which)) * 1e3 / UNITS[self.figure.unit]

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            "family": self.case.family, "name": self.case.name, "half": self.case.half, "source": self.case.source,
            "reading": self.figure.reading, "unit": self.figure.unit, "low": self.figure.low, "high": self.figure.high,
            "doubt": self.figure.doubt, "launch": self.launch_class, "body": self.body, "predicted": self.predicted,
            "interval": self.interval, "error": self.error,
        }  # fmt: skip
