# SPDX-License-Identifier: Apache-2.0
"""Times with what is known of their error, and the steps they are of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Origin(Enum):
    """What a time rests on."""

    NKIMOE = "nkimoe's kernels, simulated"
    LIBRARY = "nki-library's kernels, simulated"
    ARITHMETIC = "arithmetic"
    LINKS = "model of the links"


@dataclass(frozen=True)
class Estimate:
    """Microseconds: nominal, least and most."""

    us: float
    low_us: float
    high_us: float

    def __add__(self, other: Estimate) -> Estimate:
        """One after the other. Bounds add, as if all erred in one direction."""
        return Estimate(self.us + other.us, self.low_us + other.low_us, self.high_us + other.high_us)

    def __mul__(self, times: int) -> Estimate:
        """The same again and again."""
        return Estimate(self.us * times, self.low_us * times, self.high_us * times)


NOTHING = Estimate(0.0, 0.0, 0.0)


def total(estimates: Iterable[Estimate]) -> Estimate:
    """One after the other."""
    return sum(estimates, NOTHING)


def extended(sizes: list[int], estimates: list[Estimate], size: int) -> Estimate:
    """The estimate at a larger size: the polynomial through the sizes that are known, bound by bound; no less than at
    the largest of them, since a curve through small sizes, which other things decide, may bend down.

    Args:
        sizes: ascending, as many as the polynomial has coefficients.
    """
    values = []
    for bound in ("low_us", "us", "high_us"):
        known = [getattr(each, bound) for each in estimates]
        values.append(max(known[-1], _lagrange(sizes, known, size)))
    low, middle, high = sorted(values)
    return Estimate(middle, low, high)


def _lagrange(places: list[int], values: list[float], place: int) -> float:
    result = 0.0
    for i, value in enumerate(values):
        term = value
        for j, other in enumerate(places):
            if i != j:
                term *= (place - other) / (places[i] - other)
        result += term
    return result
