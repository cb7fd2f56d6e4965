# SPDX-License-Identifier: Apache-2.0
"""What the instructions that look for eight values share."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor
from nkisim.operations import checks


def eight_of(data: NkiTensor, operand: str) -> None:
    """What the instructions that look for eight values require of the data they search."""
    if data.ndim > 3 or not 8 <= checks.free_size(data) <= 16384:
        raise ShapeError(
            f"{operand} has up to three dimensions and 8 to 16384 elements a partition", f"{data.shape}", "Split it."
        )


def eight_values(vals: NkiTensor, data: NkiTensor) -> None:
    """The values looked for: eight in each partition of the data."""
    if vals.shape[0] != data.shape[0] or vals.ndim > 3 or checks.free_size(vals) != 8:
        raise ShapeError("vals has eight elements a partition of data", f"{vals.shape} for {data.shape}", "Use max8.")


def locate(data: Any, vals: Any, order: range) -> tuple[Any, Any]:
    """Positions of the values, each taken by at most one of them, in the given order; and whether there is one."""
    flat, wanted = (to_float32(x).reshape(x.shape[0], -1) for x in (data, vals))
    free = np.ones(flat.shape, np.bool_)
    rows = np.arange(len(flat))
    positions, found = np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, np.bool_)
    for j in order:
        hits = (flat == wanted[:, j : j + 1]) & free
        positions[:, j] = hits.argmax(axis=1)
        found[:, j] = hits[rows, positions[:, j]]
        free[rows[found[:, j]], positions[found[:, j], j]] = False
    return positions, found
