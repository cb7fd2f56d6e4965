"""How far a result may be from the fp32 reference: one table, every number counted, none fitted.

The kernel multiplies and adds in fp32; it differs from the reference only where it rounds. One rounding to p
significant bits has a relative error of at most 2**-p, and 0.68 * 2**(1-p) / sqrt(12) as a root mean square over values
spread evenly in their logarithm. Roundings are independent, so n of them make sqrt(n) times that, weighted by how
strongly the result depends on what is rounded. Per weight of the result's variance:

* act(g) * u, rounded before the down projection: 1;
* x or a gate/up weight, rounded: 1 through u and at most 4 through act(g) (SquaredReLU doubles relative errors): 5;
* a down weight, or the down bias, rounded: 1;
* the output, rounded at each of at most 4 blocks of a token and once when two cores' slabs are added: 5.

The worst row may have each of its roundings at the maximum instead of the mean square: a factor sqrt(12) / (2 * 0.68).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNIFICANT_BITS = {"bfloat16": 8, "float16": 11}
SPREAD = 0.68
WORST_TO_TYPICAL = math.sqrt(12) / (2 * SPREAD)


@dataclass(frozen=True)
class Tolerance:
    """Roundings to each data type, and why there are so many."""

    roundings: dict[str, int]
    reason: str

    @property
    def relative_l2(self) -> float:
        """Bound of |actual - expected| / |expected| over the whole output."""
        typical = {t: SPREAD * 2 ** (1 - p) / math.sqrt(12) for t, p in SIGNIFICANT_BITS.items()}
        return math.sqrt(sum(n * typical[t] ** 2 for t, n in self.roundings.items()))

    @property
    def worst_row(self) -> float:
        """Bound of the same for each row."""
        return self.relative_l2 * WORST_TO_TYPICAL


BF16, FP16, FP32 = "bfloat16", "float16", "float32"
TOLERANCES: dict[tuple[str, str], Tolerance] = {  # by (compute dtype, weight format)
    (BF16, BF16): Tolerance({BF16: 1 + 5 + 5}, "act * u; x * affinity of PRE_SCALE; output"),  # 5.1e-3
    (FP16, FP16): Tolerance({FP16: 1 + 5 + 5}, "the same in fp16"),  # 6.4e-4
    (BF16, FP16): Tolerance(
        {BF16: 1 + 5 + 5 + 1 + 1, FP16: 5}, "act * u; x, gate/up and down weights, down bias; output in fp16"
    ),  # 5.5e-3
    (FP16, BF16): Tolerance({FP16: 1 + 5, BF16: 5}, "operands of 8 bits are exact in fp16; output in bf16"),  # 3.5e-3
    (FP32, BF16): Tolerance({BF16: 5}, "only the output is rounded"),  # 3.4e-3
    (FP32, FP16): Tolerance({FP16: 5}, "only the output is rounded"),  # 4.3e-4
}

Floats = npt.NDArray[np.float32]


def assert_close(actual: Floats, expected: Floats, tolerance: Tolerance) -> None:
    """Both errors within bounds, and rows that should be zero exactly zero."""
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all(), f"{np.argwhere(~np.isfinite(actual))[0]} is {actual[~np.isfinite(actual)][0]}"
    difference = actual - expected
    norms, errors = np.linalg.norm(expected, axis=1), np.linalg.norm(difference, axis=1)
    rows = np.divide(errors, norms, out=np.where(errors > 0, np.inf, 0.0).astype(np.float32), where=norms > 0)
    relative_l2 = float(np.linalg.norm(errors) / max(np.linalg.norm(norms), 1e-30))
    passes = relative_l2 <= tolerance.relative_l2 and float(rows.max()) <= tolerance.worst_row
    assert passes, _report(actual, expected, tolerance, rows, relative_l2)


def _report(actual: Floats, expected: Floats, tolerance: Tolerance, rows: Floats, relative_l2: float) -> str:
    row, column = (int(i) for i in np.unravel_index(np.argmax(np.abs(actual - expected)), actual.shape))
    worst = int(np.argmax(rows))
    bad: Any = np.flatnonzero(rows > tolerance.worst_row)
    return (
        f"relative L2 error {relative_l2:.2e} (allowed {tolerance.relative_l2:.2e}); "
        f"worst row {worst} of {len(rows)}: {rows[worst]:.2e} (allowed {tolerance.worst_row:.2e}), "
        f"{bad.size} rows too far: {bad[:10].tolist()}; "
        f"worst element [{row}, {column}]: {actual[row, column]:.6g}, expected {expected[row, column]:.6g}. "
        f"Roundings counted: {tolerance.reason}."
    )
