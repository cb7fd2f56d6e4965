# SPDX-License-Identifier: Apache-2.0
"""32-bit integers in engines that compute in fp32: exact up to 2^24, and a note where more is lost."""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import Array, to_float32
from nkisim.errors import InvalidInput
from nkisim.operations.notes import note

_EXACT = 2**24
_RULE = "integers are exact up to 2^24 in engines that compute in fp32"
_FIX = "Use nisa.tensor_copy between equal types, bit operations, or nisa.tensor_tensor on GpSimd, which are exact."


def in_float32(values: Array) -> Array:
    """`values` as the engines take them in."""
    result = to_float32(values)
    if _is_wide(values):
        lost = result.astype(np.int64) != values
        if lost.any():
            note(InvalidInput(_RULE, f"{values[lost][0]}, taken as {int(result[lost][0])}", _FIX))
    return result


def check_result(values: Array, result: Array) -> Array:
    """`result`, computed of `values`: a note where those are wide integers and it is beyond what fp32 counts."""
    if _is_wide(values) and result.dtype == np.float32:
        beyond = np.abs(result) > _EXACT
        if beyond.any():
            note(InvalidInput(_RULE, f"a result of about {result[beyond][0]:.9g}", _FIX))
    return result


def _is_wide(values: Array) -> bool:
    return values.dtype.kind in "iu" and values.dtype.itemsize == 4
