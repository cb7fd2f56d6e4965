"""How close is correct: one table, by compute dtype and weight format.

Two numbers, because one hides mistakes: relative L2 over the whole output sees systematic errors (a bias added twice),
the worst row sees local ones (one token with a wrong affinity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted errors against the fp32 reference.

    Attributes:
        rel_l2: ||out - ref|| / ||ref||.
        worst_row: the same for the worst row, with the row norm floored at a tenth of the typical one.
        reason: where the numbers come from.
    """

    rel_l2: float
    worst_row: float
    reason: str


# A rounding to p mantissa bits has a relative error of about 2**-(p+1) / sqrt(3) rms. The kernel rounds the
# intermediate once and each partial sum of a token's K blocks once, sums in fp32: sqrt(1 + K) roundings, K <= 8.
# bf16 (p = 7): 2**-9 / sqrt(3) * 3 = 3.4e-3. fp16 (p = 10): an eighth of it. The table doubles that for shapes whose
# sums cancel; a single row scatters about three times as far.
TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("bfloat16", "bf16"): Tolerance(6e-3, 2e-2, "intermediate and K partial sums rounded to 8 significant bits"),
    ("float16", "fp16"): Tolerance(8e-4, 3e-3, "intermediate and K partial sums rounded to 11 significant bits"),
}


@dataclass(frozen=True)
class Distance:
    """How far an output is from the reference.

    Attributes:
        rel_l2, worst_row: as in `Tolerance`.
        max_abs: largest absolute difference, at `where` = (row, column).
    """

    rel_l2: float
    worst_row: float
    max_abs: float
    where: tuple[int, int]

    def within(self, tolerance: Tolerance) -> bool:
        """Whether both errors are accepted; a NaN never is."""
        return self.rel_l2 <= tolerance.rel_l2 and self.worst_row <= tolerance.worst_row


def distance(output: Array, reference: Array) -> Distance:
    """Compare [rows, H] arrays in fp32."""
    difference = output.astype(np.float32) - reference.astype(np.float32)
    errors = np.linalg.norm(difference, axis=1)
    norms = np.linalg.norm(reference.astype(np.float32), axis=1)
    typical = float(np.sqrt(np.mean(np.square(norms)))) or 1.0
    worst = np.nan_to_num(np.abs(difference), nan=np.inf)
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(worst)), difference.shape))
    return Distance(
        rel_l2=float(np.linalg.norm(errors) / (typical * np.sqrt(len(norms)))),
        worst_row=float(np.max(errors / np.maximum(norms, 0.1 * typical))),
        max_abs=float(worst[row, column]),
        where=(row, column),
    )
