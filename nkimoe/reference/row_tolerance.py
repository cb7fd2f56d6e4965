# SPDX-License-Identifier: Apache-2.0
"""How far quantised rows may be from their definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nkimoe.arrays import Array, Floats

MOST_UNEQUAL_CODES = 1e-5  # of all: products with a reciprocal, not quotients; one is always allowed
MOST_CODES_APART = 1
MOST_SCALE_ULPS = 2


def code_distance(a: Array, b: Array) -> npt.NDArray[np.int16]:
    """How many codes lie between two arrays of codes; of fp8, in the order of its numbers."""
    return np.abs(_ordered(a) - _ordered(b))


def ulps_apart(a: Floats, b: Floats) -> npt.NDArray[np.int64]:
    """How many fp32 numbers lie between two arrays of them, which are not negative."""
    return np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32))


def _ordered(codes: Array) -> npt.NDArray[np.int16]:
    if codes.dtype == np.int8:
        return codes.astype(np.int16)
    bits = codes.view(np.uint8).astype(np.int16)
    return np.where(bits < 128, bits, 128 - bits).astype(np.int16)
