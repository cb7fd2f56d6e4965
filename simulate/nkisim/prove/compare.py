# SPDX-License-Identifier: Apache-2.0
"""Results that are equal to rounding, and the first tile in which they are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from nkisim.dtypes import Array

_UNITS = 32  # of the last place of the largest element: sums in another order, some roundings in between
_TILE = 128


@dataclass(frozen=True)
class FirstDifference:
    """Where two results part.

    Attributes:
        output: which of the results; index: the first element; old, new: its values.
        tile: the first rows and columns of the tile it lies in, as slices of the output.
    """

    output: int
    index: tuple[int, ...]
    old: float
    new: float
    tile: str

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        return f"output {self.output} at [{place}], in the tile {self.tile}: {self.old:.7g} and {self.new:.7g}"


def rounding(arrays: Iterable[Any]) -> float:
    """The distance between 1 and the next number, of the narrowest floating point type among arrays; 0 if none is."""
    kinds = [np.asarray(array).dtype for array in arrays]
    steps = [float(ml_dtypes.finfo(kind).eps) for kind in kinds if kind.kind in "fV"]
    return max(steps, default=0.0)


def first_difference(old: list[Array], new: list[Array], step: float) -> FirstDifference | str | None:
    """The first difference beyond rounding, in words if the results have different forms; None if there is none.

    Args:
        step: of the narrowest type that takes part.
    """
    if [a.shape for a in old] != [b.shape for b in new]:
        return f"the results have shapes {[a.shape for a in old]} and {[b.shape for b in new]}"
    for number, (a, b) in enumerate(zip(old, new, strict=True)):
        left, right = a.astype(np.float64), b.astype(np.float64)
        finite = left[np.isfinite(left)]
        allowed = _UNITS * step * float(np.abs(finite).max(initial=0.0))
        with np.errstate(invalid="ignore"):
            same = (np.abs(left - right) <= allowed) | (left == right) | (np.isnan(left) & np.isnan(right))
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            return FirstDifference(number, at, float(left[at]), float(right[at]), _tile(at, a.shape))
    return None


def _tile(at: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The 128 rows of the last two dimensions in which an element lies."""
    parts = [str(i) for i in at]
    for axis in range(max(len(at) - 2, 0), len(at)):
        start = at[axis] // _TILE * _TILE
        parts[axis] = f"{start}:{min(start + _TILE, shape[axis])}"
    return "[" + ", ".join(parts) + "]"
