# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of strided views, in elements. Pure functions; no tensor, no memory.

A layout is (shape, strides, offset): the element at index i sits at offset + sum(strides * i).
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple


class Layout(NamedTuple):
    """A strided view of storage, in elements of the view's dtype."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a dense tensor.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def replace(values: tuple[int, ...], axis: int, *new: int) -> tuple[int, ...]:
    """`values` with entry `axis` replaced by `new` (none: removed)."""
    return values[:axis] + new + values[axis + 1 :]


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the view runs over storage without gaps, ignoring dimensions of size 1."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def split(layout: Layout, axis: int, sizes: tuple[int, ...]) -> Layout:
    """Dimension `axis` split into `sizes`."""
    inner = row_major(sizes)
    stride = layout.strides[axis]
    return Layout(
        replace(layout.shape, axis, *sizes),
        replace(layout.strides, axis, *(stride * step for step in inner)),
        layout.offset,
    )


def merge(layout: Layout, first: int, last: int) -> Layout | None:
    """Dimensions first..last merged into one, or None where storage order forbids it."""
    dims = [
        (n, s) for n, s in zip(layout.shape[first : last + 1], layout.strides[first : last + 1], strict=True) if n != 1
    ]
    for (_, outer), (size, inner) in itertools.pairwise(dims):
        if outer != size * inner:
            return None
    total = math.prod(layout.shape[first : last + 1])
    stride = dims[-1][1] if dims else 1
    shape = (*layout.shape[:first], total, *layout.shape[last + 1 :])
    return Layout(shape, (*layout.strides[:first], stride, *layout.strides[last + 1 :]), layout.offset)


def reshape(layout: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The same elements in the same order under another shape, or None where that needs a copy.

    Walks both shapes together: the smallest groups of old and new dimensions with equal products are matched,
    each old group is merged, then split.
    """
    strides: list[int] = []
    old, new = 0, 0
    while old < len(layout.shape) or new < len(shape):
        old_end, new_end = old, new
        old_size = new_size = 1
        while old_end == old or new_end == new or old_size != new_size:
            if old_end < len(layout.shape) and (old_size <= new_size or new_end == len(shape)):
                old_size *= layout.shape[old_end]
                old_end += 1
            elif new_end < len(shape):
                new_size *= shape[new_end]
                new_end += 1
            else:
                break
        merged = merge(layout, old, old_end - 1) if old_end > old else None
        if merged is None and old_end > old:
            return None
        stride = merged.strides[old] if merged else 1
        strides += [stride * step for step in row_major(shape[new:new_end])]
        old, new = old_end, new_end
    return Layout(shape, tuple(strides), layout.offset)
