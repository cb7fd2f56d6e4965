# SPDX-License-Identifier: Apache-2.0
"""Bytes and steps of the tensors of operations."""

from __future__ import annotations

import numpy as np

from nkimoe.cli.op.inputs import DTYPES

FP32 = INT32 = 4  # bytes


def itemsize(dtype: str) -> int:
    """Bytes of an element of a type of DTYPES."""
    return np.dtype(DTYPES[dtype]).itemsize


def pitch(columns: int, stride: int) -> int:
    """Elements from row to row, as a stride option says: one that is negative leaves no gap."""
    return columns if stride < 0 else stride
