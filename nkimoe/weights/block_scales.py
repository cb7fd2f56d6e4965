# SPDX-License-Identifier: Apache-2.0
"""Matrices [rows, ..., columns] in blocks of so many rows and columns, the last ones cut off."""

from __future__ import annotations

import numpy as np

from nkimoe.arrays import Array


def spread_blocks(scales: Array, shape: tuple[int, ...], size: int) -> Array:
    """A scale for every element of a matrix of this shape, of scales [rows / size, ..., columns / size].

    Args:
        scales: rounded up; with one dimension more they are copies, and one is taken.
    """
    if scales.ndim > len(shape):
        scales = scales[..., 0]
    rows = np.repeat(scales, size, 0)[: shape[0]]
    return np.repeat(rows, size, -1)[..., : shape[-1]]


def in_blocks(values: Array, size: int, axis: int = 0) -> Array:
    """[..., rows / size, size, ..., columns / size, size] of matrices whose rows lie along `axis`, columns last; zeros
    where blocks are cut off.
    """
    rows, columns = values.shape[axis], values.shape[-1]
    missing = [(0, 0)] * values.ndim
    missing[axis], missing[-1] = (0, -rows % size), (0, -columns % size)
    padded = np.pad(values, missing)
    before, between = values.shape[:axis], values.shape[axis + 1 : -1]
    return padded.reshape(*before, padded.shape[axis] // size, size, *between, padded.shape[-1] // size, size)


def out_of_blocks(blocks: Array, shape: tuple[int, ...], axis: int = 0) -> Array:
    """The matrices of this shape that `in_blocks` cut."""
    whole = blocks.reshape(*shape[:axis], -1, *shape[axis + 1 : -1], blocks.shape[-2] * blocks.shape[-1])
    return np.ascontiguousarray(whole[(*(slice(0, n) for n in shape),)])
