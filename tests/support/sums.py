"""Results that are the same bits but for the order in which the computer's BLAS adds up a dot product.

A device adds the products of a column in one order, whatever the tile's width. A BLAS may take other instructions for
the last columns of a matrix than for the others (OpenBLAS does without AVX-512), and then another order: the last bits
of an fp32 sum depend on where in a tile it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from support.launch import assert_same_bits

Array = npt.NDArray[Any]
WIDTHS = (1, 3, 8, 17, 50, 64, 100, 120, 128, 256, 384)
MOST_ROUNDED_OTHERWISE = 1e-3
"""Share of elements: an fp32 sum with other last bits is rounded to other 8 bits once in some thousands."""


@cache
def order_is_fixed() -> bool:
    """Whether columns of a product have the same bits in matrices of all widths."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((128, columns)).astype(np.float32) for columns in (128, 512))
    whole = left.T @ right
    parts = [(left.T @ right[:, :n], whole[:, :n]) for n in WIDTHS]
    parts += [(left.T @ right[:, n:], whole[:, n:]) for n in WIDTHS]
    parts += [(left[:, :n].T @ right, whole[:n]) for n in WIDTHS if n <= left.shape[1]]
    return all(np.array_equal(part, same) for part, same in parts)


def assert_same_sums(actual: Array, expected: Array) -> None:
    """The same bits; where the order of a sum is not fixed, a few bf16 elements one step apart."""
    if order_is_fixed():
        assert_same_bits(actual, expected)
        return
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    assert actual.dtype == ml_dtypes.bfloat16, f"{actual.dtype} does not round sums to 8 bits: compare distances"
    found, same = actual.astype(np.float32), expected.astype(np.float32)
    # A step is at most 2 ** -7 of a value; where terms cancel, it is one of the terms.
    step = 2.0**-7 * np.maximum(np.abs(same), np.sqrt(np.mean(same**2)))
    assert np.all(np.abs(found - same) <= step), "an element is more than a step from the same"
    others = np.count_nonzero(found != same)
    assert others <= max(2, MOST_ROUNDED_OTHERWISE * same.size), f"{others} of {same.size} elements are other ones"
