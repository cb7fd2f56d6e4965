# SPDX-License-Identifier: Apache-2.0
"""`NKI_PRECISE_FP=0`: low-precision tensors keep the float32 values they were given, to tell logic from rounding.

Memory holds the rounded bytes as always, so that reinterpreted views, copies and addresses mean what they mean. Next to
each byte lies the float32 value of the element that begins there. It counts as long as it still rounds to the bytes:
whatever else writes them makes it void.
"""

from __future__ import annotations

import os

import numpy as np

from nkisim.dtypes import Array, DType, convert, to_float32
from nkisim.memory.access import Access

VARIABLE = "NKI_PRECISE_FP"


def is_rounded(dtype: DType) -> bool:
    """Whether values of the type are less than float32."""
    return dtype.kind == "float" and dtype != "float32"


def values_beside(nbytes: int) -> Array | None:
    """Room for the values beside `nbytes` bytes, if the environment asks for them."""
    return np.zeros(nbytes, np.float32) if os.environ.get(VARIABLE, "1") == "0" else None


def _seen(access: Access, beside: Array) -> Array:
    shape, rows = access.shape, access.rows
    if rows is not None:
        shape = (int(rows.max()) + 1 if rows.size else 0, *shape[1:])
    return np.ndarray(shape, np.float32, beside.data, 4 * access.start, tuple(4 * s for s in access.strides))


def remember(access: Access, beside: Array, values: Array) -> None:
    """Keep `values`, in the shape of the access, as they were before rounding."""
    seen = _seen(access, beside)
    seen[... if access.rows is None else access.rows] = to_float32(values)


def recall(access: Access, beside: Array, rounded: Array) -> Array:
    """The values behind `rounded`: float32, unrounded where they are known."""
    seen = _seen(access, beside)
    known = seen if access.rows is None else seen[access.rows]
    bits = f"u{rounded.dtype.itemsize}"
    same = convert(known, access.dtype).view(bits) == np.ascontiguousarray(rounded).view(bits)
    return np.where(same, known, to_float32(rounded))
