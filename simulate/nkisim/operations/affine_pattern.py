# SPDX-License-Identifier: Apache-2.0
"""The affine integer patterns of GpSimd."""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.operations import checks


def affine_values(pattern: list[list[int]], offset: int, channel_multiplier: int, dst: NkiTensor) -> Array:
    """[partitions, elements]: offset + partition * channel_multiplier + the sum of position * step, as int32."""
    if not 1 <= len(pattern) <= 4:
        raise ArgumentError("a pattern has one to four [step, count] pairs", f"{pattern}", "Merge dimensions.")
    for argument, value in (("offset", offset), ("channel_multiplier", channel_multiplier)):
        if not isinstance(value, (int, np.integer)) or not -(2**31) <= value < 2**31:
            raise ArgumentError(f"{argument} is an int32", f"{value!r}", "Pass an integer constant.")
    counts = [int(count) for _, count in pattern]
    if int(np.prod(counts)) != checks.free_size(dst):
        raise ShapeError(
            "the pattern generates as many values as dst has a partition",
            f"{int(np.prod(counts))} for {dst.shape}",
            "Fix the counts.",
        )
    row = np.zeros((1, *counts), np.int64)
    for axis, (step, count) in enumerate(pattern, start=1):
        shape = [count if i == axis else 1 for i in range(row.ndim)]
        row = row + (np.arange(count, dtype=np.int64) * step).reshape(shape)
    channels = np.arange(dst.shape[0], dtype=np.int64)[:, None] * channel_multiplier
    return (offset + channels + row.reshape(1, -1)).astype(np.int32)
