# SPDX-License-Identifier: Apache-2.0
"""A number, between what it may be, and how well it is known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

CONFIDENCES = ("documented", "derived", "assumed")
_MORE_IS_FASTER = (
    "B/ns", "GHz", "elements per cycle", "columns per cycle", "share of the rate", "B of a row",
    "descriptors of a queue",
)  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """One number of a machine file.

    Attributes:
        value: what is taken.
        low, high: what evidence leaves open; by default nothing.
    """

    value: float
    unit: str
    source: str
    confidence: str
    low: float | None = None
    high: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the evidence leaves a range."""
        return self.low is not None and self.high is not None

    @property
    def ends(self) -> tuple[float, float]:
        """(low, high), or the value twice."""
        return (self.value if self.low is None else self.low), (self.value if self.high is None else self.high)

    @property
    def fast(self) -> Quantity:
        """The end of the range at which kernels take less time."""
        return self.at(self.high if self._is_rate else self.low)

    @property
    def slow(self) -> Quantity:
        """The end of the range at which kernels take more time."""
        return self.at(self.low if self._is_rate else self.high)

    def at(self, value: float | None) -> Quantity:
        """The same with another value."""
        return self if value is None else dataclasses.replace(self, value=value)

    @property
    def _is_rate(self) -> bool:
        return self.unit == "B" or self.unit.startswith(_MORE_IS_FASTER)
