# SPDX-License-Identifier: Apache-2.0
"""Where the Scalar Engine's tables are valid. Outside, a device computes something else, and nobody hears of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkisim.errors import InvalidInput, kernel_location
from nkisim.operations.notes import is_noted, note
from nkisim.operations.operators import Operator

# Magnitudes, both ends included; sine and arctangent go through zero.
RANGES: dict[str, tuple[float, float]] = {
    "log": (2.0**-64, 2.0**64),
    "sqrt": (2.0**-116, 2.0**118),
    "rsqrt": (2.0**-87, 2.0**97),
    "reciprocal": (2.0**-42, 2.0**42),
    "sin": (0.0, math.pi),
    "arctan": (0.0, math.pi / 2),
}
_SIGNED = ("reciprocal", "sin", "arctan")


def check_range(op: Operator, x: Any) -> None:
    """Note the first input outside the valid range of `op`, once a kernel line. NaN is nobody's range."""
    if op.name not in RANGES:
        return
    low, high = (np.float32(bound) for bound in RANGES[op.name])
    size = np.abs(x) if op.name in _SIGNED else x
    outside = (size < low) | (size > high)
    if not outside.any():
        return
    sign, where = "a magnitude" if op.name in _SIGNED else "a value", kernel_location()
    rule = f"the Scalar Engine's nl.{op.name} is valid for {sign} of {low:g} to {high:g}"
    if is_noted(rule, where):
        return
    at = tuple(int(i) for i in np.argwhere(outside)[0])
    error = InvalidInput(
        rule,
        f"{x[at]:g} at {list(at)}, {int(outside.sum())} such inputs",
        "Clamp the input, or use the Vector Engine (nisa.reciprocal, nl.power) or nl.sin, which reduces the angle.",
        where,
    )
    note(error)
