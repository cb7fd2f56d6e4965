"""Checks of input values of quantisations of rows on the host, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.errors import InputError

TENSORS = ("x", "w", "smooth_scale")


def check_row_inputs(**arguments: Any) -> None:
    """Check values; tensors are NumPy arrays. Ids of no expert pass: their pair is skipped.

    Raises:
        InputError: NaN or infinite values.
    """
    for name in TENSORS:
        values = arguments.get(name)
        if not isinstance(values, np.ndarray) or not values.dtype.itemsize < 8:
            continue
        finite = np.isfinite(values.astype(np.float32))
        if not finite.all():
            place = tuple(int(i) for i in np.argwhere(~finite)[0])
            count = int(finite.size - np.count_nonzero(finite))
            raise InputError(name, "is finite", f"{values[place]} at {place}", f"Clean the {count} bad elements.")
