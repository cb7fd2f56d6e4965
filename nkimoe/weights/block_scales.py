"""Scales of blocks, one for so many rows and columns of a matrix."""

from __future__ import annotations

import numpy as np

from nkimoe.arrays import Array


def spread_blocks(scales: Array, shape: tuple[int, ...], size: int) -> Array:
    """A scale for every element of a matrix [rows, ..., columns], of scales [rows / size, ..., columns / size].

    Args:
        scales: rounded up where blocks are cut off; with one dimension more they are copies, and one is taken.
    """
    if scales.ndim > len(shape):
        scales = scales[..., 0]
    rows = np.repeat(scales, size, 0)[: shape[0]]
    return np.repeat(rows, size, -1)[..., : shape[-1]]
