# SPDX-License-Identifier: Apache-2.0
"""A duration that remembers how well its parts are known."""

from __future__ import annotations

from typing import NamedTuple

from nkisim.machine import Machine
from nkisim.machine.quantity import CONFIDENCES


class Duration(NamedTuple):
    """Nanoseconds that rest on documented, derived and assumed constants."""

    documented: float = 0.0
    derived: float = 0.0
    assumed: float = 0.0

    @property
    def ns(self) -> float:
        return self.documented + self.derived + self.assumed

    def plus(self, other: Duration) -> Duration:
        """Both, one after the other."""
        return Duration(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, factor: float) -> Duration:
        """`factor` times as long."""
        return Duration(*(a * factor for a in self))


NOTHING = Duration()


def duration(machine: Machine, ns: float, *keys: str) -> Duration:
    """`ns`, computed from the quantities `keys`; it is as sure as the least sure of them."""
    weakest = max(CONFIDENCES.index(machine.quantities[key].confidence) for key in keys)
    parts = [0.0, 0.0, 0.0]
    parts[weakest] = ns
    return Duration(*parts)


def fixed(machine: Machine, key: str) -> Duration:
    """A quantity that is a duration in nanoseconds."""
    return duration(machine, machine.number(key), key)


def cycles(machine: Machine, count: float, clock: str, *keys: str) -> Duration:
    """`count` cycles of the clock `clock`, a key of [clock]; `keys` name what the count rests on."""
    return duration(machine, count / machine.number(f"clock.{clock}"), f"clock.{clock}", *keys)
