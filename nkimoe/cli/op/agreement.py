# SPDX-License-Identifier: Apache-2.0
"""How close a result is to what its definition gives, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.reference.row_tolerance import (
    MOST_CODES_APART,
    MOST_SCALE_ULPS,
    MOST_UNEQUAL_CODES,
    code_distance,
    ulps_apart,
)
from nkimoe.reference.tolerance import distance, int8_tolerance, tolerance


@dataclass(frozen=True)
class Agreement:
    """One comparison.

    Attributes:
        of: what was compared, and by which measure.
        found, allowed: the measure, and its largest value that is right.
    """

    of: str
    found: float
    allowed: float

    @property
    def holds(self) -> bool:
        """False of NaN, too."""
        return self.found <= self.allowed

    def __str__(self) -> str:
        return f"{self.of}: {self.found:g} (at most {self.allowed:g})"


def rows_agree(
    found: tuple[Array, Floats], expected: tuple[Array, Floats], most_unequal: float = MOST_UNEQUAL_CODES
) -> list[Agreement]:
    """Of codes and scales.

    Args:
        most_unequal: share of the codes that may differ; of one that is not 0, one code always may.
    """
    (q, scale), (expected_q, expected_scale) = found, expected
    ulps = float(ulps_apart(scale, expected_scale).max(initial=0))
    return [*codes_agree(q, expected_q, most_unequal), Agreement("ulps of scales", ulps, MOST_SCALE_ULPS)]


def codes_agree(q: Array, expected: Array, most_unequal: float = MOST_UNEQUAL_CODES) -> list[Agreement]:
    """Of codes alone."""
    apart = code_distance(q, expected)
    allowed = max(1.0, most_unequal * q.size) if most_unequal else 0.0
    return [
        Agreement("codes that differ", float(np.count_nonzero(apart)), allowed),
        Agreement("largest difference of codes", float(apart.max(initial=0)), MOST_CODES_APART),
    ]


def experts_agree(found: Array, expected: Array, roundings: int, columns: int, is_int8: bool = True) -> list[Agreement]:
    """Of rows that experts give.

    Args:
        roundings: of each row, before the last.
        columns: I, of act(gate) * up.
        is_int8: activations become int8.
    """
    apart, dtype = distance(found, expected), str(expected.dtype)
    bounds = int8_tolerance(dtype, roundings, columns) if is_int8 else tolerance(dtype, dtype, roundings)
    return [
        Agreement("relative error", apart.rel_l2, bounds.rel_l2),
        Agreement("relative error of the worst row", apart.worst_row, bounds.worst_row),
    ]


def equal(of: str, found: Array, expected: Array) -> Agreement:
    """Of integers or moved values, which have one right answer."""
    return Agreement(f"{of} that differ", float(np.count_nonzero(found != expected)), 0.0)


def close(of: str, found: Floats, expected: Floats, rtol: float) -> Agreement:
    """Of positive numbers."""
    relative = np.abs(found.astype(np.float64) - expected) / np.maximum(expected, np.finfo(np.float32).tiny)
    return Agreement(f"relative error of {of}", float(relative.max(initial=0)), rtol)
