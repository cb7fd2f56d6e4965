# SPDX-License-Identifier: Apache-2.0
"""Checks of input values of quantisations of rows on the host, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError
from nkimoe.planning.row_quantisation.validate import FLOATS

TENSORS = ("x", "w", "smooth_scale")
MOST = 2.0**127  # of a product: twice as much is no fp32 number


def check_row_inputs(**arguments: Any) -> None:
    """Check values; tensors are NumPy arrays. Ids of no expert pass: their pair is skipped.

    Raises:
        InputError: NaN or infinite values, or values whose products may be.
    """
    largest = {name: largest_magnitude(name, arguments[name]) for name in TENSORS if is_of_floats(arguments.get(name))}
    check_products("smooth_scale", largest.get("x", 0.0) * largest.get("smooth_scale", 0.0))


def check_products(name: str, largest: float) -> None:
    """Raises InputError if products of x with the scales called `name` may be no fp32 numbers."""
    if largest > MOST:
        raise InputError(name, "gives products with x up to 2**127", f"{largest:g}", "Scale it down.")


def largest_magnitude(name: str, values: Array) -> float:
    """Of a tensor; 0 of an empty one. Raises InputError if a value is NaN or infinite."""
    finite = np.isfinite(values)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        count = int(finite.size - np.count_nonzero(finite))
        raise InputError(name, "is finite", f"{values[place]} at {place}", f"Clean the {count} bad elements.")
    return float(np.abs(values).max(initial=0))


def is_of_floats(values: Any) -> bool:
    """Whether it is an array of a type that is quantised; the launch refuses others by name."""
    return isinstance(values, np.ndarray) and str(values.dtype) in FLOATS
