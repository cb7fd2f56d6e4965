# SPDX-License-Identifier: Apache-2.0
"""Indices of gathers within partitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import OutOfBounds


def check_indices(where: Any, count: int) -> None:
    """Indices of a gather address elements of their partition."""
    if where.size and int(where.max()) >= count:
        p, i = np.argwhere(where >= count)[0]
        raise OutOfBounds(
            f"an index of a gather is in 0..{count - 1}", f"{where[p, i]} at [{p}, {i}]", "Fix the indices."
        )
