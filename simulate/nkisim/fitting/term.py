# SPDX-License-Identifier: Apache-2.0
"""How a latency depends on the constants of a machine: a sum of products of their powers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nkisim.machine import Machine


@dataclass(frozen=True)
class Term:
    """One product.

    64 instructions of 512 elements at `dve_rate.copy_32_sbuf` elements a cycle of `clock.dve` take
    `Term(64 * 512, {"dve_rate.copy_32_sbuf": -1, "clock.dve": -1})` ns.

    Attributes:
        factor: what the powers are multiplied with.
        powers: by constant.
    """

    factor: float
    powers: Mapping[str, int]

    def value(self, machine: Machine) -> float:
        """On a machine, in ns."""
        return self.factor * math.prod(machine.number(key) ** power for key, power in self.powers.items())


def total(terms: Iterable[Term], machine: Machine) -> float:
    """The sum of the terms on a machine, in ns."""
    return sum(term.value(machine) for term in terms)
