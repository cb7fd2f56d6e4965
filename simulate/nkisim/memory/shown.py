# SPDX-License-Identifier: Apache-2.0
"""What tensors hold, for people: all of it, or a few words for debuggers and messages."""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import SimulationError
from nkisim.memory.door import first_unwritten, is_computed, read, resolve
from nkisim.memory.storage_view import StorageView

MOST_SHOWN = 4


def peek(tensor: StorageView) -> Array:
    """A copy of what the tensor holds now, unwritten bytes as their poison, NaN without bytes."""
    region = resolve(tensor)
    first_unwritten(region)
    return np.full(region.access.shape, np.nan, np.float32) if region.block.is_outline else read(region).copy()


def first_values(tensor: StorageView) -> str:
    """What the tensor holds now, in a few words, as "values=[1, 2, ...]"."""
    try:
        region = resolve(tensor)
    except SimulationError:
        return "values out of bounds"
    if region.block.is_outline or not is_computed(region):
        return "values not computed"
    gap = first_unwritten(region)
    if gap == (0,) * len(region.access.shape):
        return "values unwritten"
    values = read(region)
    shown = ", ".join(str(value) for value in values.flat[:MOST_SHOWN])
    more = ", ..." if values.size > MOST_SHOWN else ""
    return f"values=[{shown}{more}]" + ("" if gap is None else f", unwritten at {list(gap)}")
