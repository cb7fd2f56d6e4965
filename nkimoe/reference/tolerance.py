# SPDX-License-Identifier: Apache-2.0
"""How far a result may be from the fp32 reference: one table, every number counted, none fitted.

The kernel multiplies and adds in fp32; it differs from the reference only where it rounds. One rounding to p
significant bits has a relative error of at most 2**-p, and 0.68 * 2**(1-p) / sqrt(12) as a root mean square over values
spread evenly in their logarithm. Roundings are independent, so n of them make sqrt(n) times that, weighted by how
strongly the result depends on what is rounded. Per weight of the result's variance:

* act(g) * u, rounded before the down projection: 1;
* x or a gate/up weight, rounded: 1 through u and at most 4 through act(g) (SquaredReLU doubles relative errors): 5;
* a down weight, or the down bias, rounded: 1;
* the output, rounded at each block of a token and once when two cores' slabs are added: blocks + 1.

The worst row may have each of its roundings at the maximum instead of the mean square: a factor sqrt(12) / (2 * 0.68).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nkimoe.arrays import Array

SIGNIFICANT_BITS = {"bfloat16": 8, "float16": 11}
SPREAD, NORMAL_SPREAD = 0.68, 0.75  # of values spread evenly in their logarithm; of normal ones, as biases are
INT8_STEP = 1 / 127  # distance of two codes, over the largest value of a row
E4M3_STEP = 1 / 8  # largest distance of two neighbours, over the smaller one
WORST_TO_TYPICAL = math.sqrt(12) / (2 * SPREAD)

BF16, FP16, FP32 = "bfloat16", "float16", "float32"
ROUNDINGS: dict[
    tuple[str, str], tuple[dict[str, int], str]
] = {  # by compute dtype, dtype of tensors; but for the output
    (BF16, BF16): ({BF16: 1 + 5}, "act * u; x * affinity of PRE_SCALE"),
    (FP16, FP16): ({FP16: 1 + 5}, "act * u; x * affinity of PRE_SCALE"),
    (BF16, FP16): ({BF16: 1 + 5 + 5 + 1 + 1}, "act * u; x, gate/up and down weights, down bias"),
    (FP16, BF16): ({FP16: 1 + 5}, "operands of 8 bits are exact in fp16, within its range"),
    (FP32, BF16): ({}, "only the output is rounded"),
    (FP32, FP16): ({}, "only the output is rounded"),
}

# Roundings on chip to the compute dtype by weight format. Mostly none: the reference multiplies the values as they are
# stored, and their scales in fp32, and activations are quantised as the kernel does; what quantising costs against
# unquantised weights is not an error. With scales of blocks, gate/up and down weights times their scales are rounded.
WEIGHT_FORMATS = {"plain": 0, "fp8-row": 0, "fp8-static": 0, "int8": 0, "fp8-block": 5 + 1, "fp8-block256": 5 + 1}


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted errors against the fp32 reference.

    Attributes:
        rel_l2: of |actual - expected| / |expected| over the whole output.
        worst_row: of the same for each row.
        reason: the roundings counted.
    """

    rel_l2: float
    worst_row: float
    reason: str


def tolerance(compute_dtype: str, dtype: str, blocks: int, weights: str = "plain") -> Tolerance:
    """The bounds for a token of at most `blocks` blocks.

    Args:
        dtype: of tokens and output, and of weights that are not quantised.
        weights: one of WEIGHT_FORMATS.

    Raises:
        KeyError: the combination is not in the tables.
    """
    inside, why = ROUNDINGS[compute_dtype, dtype]
    counted = Counter(inside) + Counter({compute_dtype: WEIGHT_FORMATS[weights]}) + Counter({dtype: blocks + 1})
    rel_l2 = _typical(counted)
    return Tolerance(rel_l2, rel_l2 * WORST_TO_TYPICAL, f"{why}; output rounded {blocks + 1} times")


def _typical(counted: Mapping[str, int]) -> float:
    """Of so many roundings to each type."""
    of_one = {t: SPREAD * 2 ** (1 - p) / math.sqrt(12) for t, p in SIGNIFICANT_BITS.items()}
    return math.sqrt(sum(n * of_one[t] ** 2 for t, n in counted.items()))


def mx_tolerance(output_dtype: str, blocks: int, I: int) -> Tolerance:
    """The bounds against the reference that quantises activations as the hardware does.

    What is quantised is the same up to the order of fp32 sums, so the output's roundings are left. Where a sum lies at
    the border of two e4m3 values, one element of act * u rounds the other way: by an eighth of itself. That is rare
    among all elements, and seen in the row it falls on, even if the element is four times the typical one of I.
    """
    rel_l2 = _typical({output_dtype: blocks + 1})
    worst = rel_l2 * WORST_TO_TYPICAL + 4 * E4M3_STEP / math.sqrt(I)
    return Tolerance(rel_l2, worst, f"output rounded {blocks + 1} times; a row with an activation at a border")


def int8_tolerance(output_dtype: str, blocks: int, I: int, bias_dtype: str | None = None) -> Tolerance:
    """The bounds against the reference that makes int8 of activations, likewise.

    Args:
        bias_dtype: what a down bias of the output's type becomes on chip; None: there is none.

    An element of act * u at the border of two numbers of the compute dtype may get the code beside its own, a step of
    the largest value of its row, which is five times the typical one. Two such elements are allowed for in a row.
    """
    rounds_bias = SIGNIFICANT_BITS.get(bias_dtype or output_dtype, 24) < SIGNIFICANT_BITS[output_dtype]
    of_bias = NORMAL_SPREAD / SPREAD * _typical({bias_dtype: 1}) if bias_dtype and rounds_bias else 0.0
    rel_l2 = math.hypot(_typical({output_dtype: blocks + 1}), of_bias)
    worst = rel_l2 * WORST_TO_TYPICAL + math.sqrt(2) * 5 * INT8_STEP / math.sqrt(I)
    why = "; down bias" * rounds_bias
    return Tolerance(rel_l2, worst, f"output rounded {blocks + 1} times{why}; a row with two activations at borders")


@dataclass(frozen=True)
class Distance:
    """How far an output is from the reference.

    Attributes:
        rel_l2, worst_row: as in `Tolerance`; infinite where a row that should be zero is not.
        row: the worst row.
        max_abs: largest absolute difference, at `where` = (row, column).
    """

    rel_l2: float
    worst_row: float
    row: int
    max_abs: float
    where: tuple[int, int]

    def within(self, bounds: Tolerance) -> bool:
        """Whether both errors are accepted; a NaN never is."""
        return self.rel_l2 <= bounds.rel_l2 and self.worst_row <= bounds.worst_row


def distance(output: Array, reference: Array) -> Distance:
    """Compare [rows, H] arrays in fp32."""
    expected = reference.astype(np.float32)
    difference = output.astype(np.float32) - expected
    errors, norms = np.linalg.norm(difference, axis=1), np.linalg.norm(expected, axis=1)
    rows = np.divide(errors, norms, out=np.where(errors == 0, 0.0, np.inf).astype(np.float32), where=norms > 0)
    magnitude = np.nan_to_num(np.abs(difference), nan=np.inf)
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(magnitude)), difference.shape))
    return Distance(
        rel_l2=float(np.linalg.norm(errors) / max(float(np.linalg.norm(norms)), 1e-30)),
        worst_row=float(rows.max()),
        row=int(np.argmax(rows)),
        max_abs=float(magnitude[row, column]),
        where=(row, column),
    )
