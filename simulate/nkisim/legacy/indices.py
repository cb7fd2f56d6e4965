# SPDX-License-Identifier: Apache-2.0
"""Index tensors: what stands in the brackets behind a tensor, as a strided layout or as one number an element.

Kernels of NKI 0.1 index with integers, slices, `nl.ds` and index tensors, which are here NumPy arrays of integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ArgumentError
from nkisim.memory import DynamicSlice
from nkisim.memory.views import Layout


@dataclass(frozen=True)
class Spread:
    """Where the elements of a view lie, counted in elements of the whole tensor in row-major order.

    Attributes:
        layout: shape, strides and offset, where the positions are a strided pattern; else None.
        positions: one number an element, where they are not.
        inside: which elements lie inside the tensor, broadcastable to the shape; None if all do.
    """

    layout: Layout | None
    positions: Array | None = None
    inside: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the view."""
        if self.layout is not None:
            return self.layout.shape
        assert self.positions is not None
        return tuple(self.positions.shape)

    def numbers(self) -> Array:
        """The position of every element, int64."""
        if self.layout is None:
            assert self.positions is not None
            return self.positions
        shape, strides, offset = self.layout.shape, self.layout.strides, self.layout.offset
        total = np.full(shape, offset, np.int64)
        for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
            total += (np.arange(size) * stride).reshape(size, *[1] * (len(shape) - axis - 1))
        return total


def steps_of(index: Array) -> tuple[int, tuple[int, ...]] | None:
    """Start and steps of an array whose numbers advance evenly along each axis; None for any other."""
    if index.size == 0:
        return None
    origin = (0,) * index.ndim
    start = int(index[origin])
    steps = tuple(
        int(index[(*origin[:axis], 1, *origin[axis + 1 :])]) - start if size > 1 else 0
        for axis, size in enumerate(index.shape)
    )
    even = np.asarray(start)
    for axis, step in enumerate(steps):
        size = index.shape[axis]
        even = even + (np.arange(size) * step).reshape(size, *[1] * (index.ndim - axis - 1))
    return (start, steps) if np.array_equal(np.broadcast_to(even, index.shape), index) else None


def select(spread: Spread, key: Any) -> Spread:
    """The elements of a view that `key` names.

    Raises:
        ArgumentError: the key has too many parts, or a part that is no index.
    """
    parts = _parts(key, len(spread.shape))
    indices, shape, fresh = _aligned(parts, spread.shape)
    inside = _inside(spread, indices)
    if spread.layout is None:
        picked = [np.clip(index, 0, size - 1) for index, size in zip(indices, spread.shape, strict=True)]
        assert spread.positions is not None
        chosen = spread.positions[tuple(picked)] if picked else spread.positions
        return Spread(None, np.broadcast_to(chosen, shape).reshape(fresh(shape)), _reshaped(inside, fresh))
    offset, strides = spread.layout.offset, [0] * len(shape)
    for index, stride in zip(indices, spread.layout.strides, strict=True):
        even = steps_of(index)
        if even is None:
            total = np.asarray(spread.layout.offset)
            for each, step in zip(indices, spread.layout.strides, strict=True):
                total = total + each.astype(np.int64) * step
            return Spread(None, np.broadcast_to(total, shape).reshape(fresh(shape)), _reshaped(inside, fresh))
        offset += even[0] * stride
        for axis, step in enumerate(even[1]):
            strides[axis] += step * stride
    layout = Layout(fresh(shape), fresh(tuple(strides), 0), offset)
    return Spread(layout, None, _reshaped(inside, fresh))


def _parts(key: Any, ndim: int) -> list[Any]:
    """One part for every dimension, and None for each new one."""
    given = list(key) if isinstance(key, tuple) else [key]
    named = sum(part is not None and part is not Ellipsis for part in given)
    if named > ndim:
        raise ArgumentError("an index has a part for a dimension", f"{named} for {ndim} dimensions", "Drop some.")
    at = next((i for i, part in enumerate(given) if part is Ellipsis), len(given))
    return [*given[:at], *[slice(None)] * (ndim - named), *given[at + 1 :]]


def _aligned(parts: list[Any], shape: tuple[int, ...]) -> Any:
    """One array of numbers a dimension, all broadcastable to the shape that results, and what adds new dimensions."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    common = np.broadcast_shapes(*[array.shape for array in arrays]) if arrays else ()
    first = next((i for i, part in enumerate(parts) if isinstance(part, np.ndarray)), None)
    result: list[int] = []
    placed: list[tuple[Any, int]] = []  # what indexes a dimension, and the axis of the result it starts at
    added: list[int] = []
    dimension = 0
    start_of_common = 0
    for i, part in enumerate(parts):
        if i == first:
            start_of_common = len(result)
            result += common
        if part is None:
            added.append(len(result))
            continue
        size = shape[dimension]
        dimension += 1
        if isinstance(part, (slice, DynamicSlice)):
            placed.append((_range(part, size), len(result)))
            result.append(len(placed[-1][0]))
        else:
            placed.append((part, -1))
    ndim = len(result)
    indices = [_placed(part, axis, ndim, start_of_common, len(common)) for part, axis in placed]

    def fresh(sizes: tuple[int, ...], new: int = 1) -> tuple[int, ...]:
        full = list(sizes)
        for axis in reversed(added):
            full.insert(axis, new)
        return tuple(full)

    return indices, tuple(result), fresh


def _range(part: Any, size: int) -> Array:
    if isinstance(part, DynamicSlice):
        return np.arange(int(part.start), int(part.start) + int(part.size))
    start, step = 0 if part.start is None else int(part.start), 1 if part.step is None else int(part.step)
    stop = size if part.stop is None else int(part.stop)
    return np.arange(start + size if start < 0 else start, stop + size if stop < 0 else stop, step)


def _placed(part: Any, axis: int, ndim: int, common: int, rank: int) -> Array:
    if isinstance(part, np.ndarray) and axis < 0:
        full = part.reshape((1,) * (rank - part.ndim) + part.shape)
        return full.reshape((1,) * common + full.shape + (1,) * (ndim - common - rank))
    if axis >= 0:
        return np.asarray(part).reshape((1,) * axis + (-1,) + (1,) * (ndim - axis - 1))
    if isinstance(part, (int, np.integer)):
        return np.full((1,) * ndim, int(part), np.int64)
    raise ArgumentError(
        "an index is an integer, a slice, nl.ds or an index tensor", f"{part!r}", "Use nl.arange or nl.mgrid."
    )


def _inside(spread: Spread, indices: list[Array]) -> Array | None:
    found: Array | None = None
    for index, size in zip(indices, spread.shape, strict=True):
        legal = (index >= 0) & (index < size)
        if not legal.all():
            found = legal if found is None else found & legal
    if spread.inside is not None:
        held = np.broadcast_to(spread.inside, spread.shape)
        clipped = [np.clip(index, 0, size - 1) for index, size in zip(indices, spread.shape, strict=True)]
        found = held[tuple(clipped)] if found is None else found & held[tuple(clipped)]
    return found


def _reshaped(inside: Array | None, fresh: Any) -> Array | None:
    return None if inside is None else inside.reshape(fresh(inside.shape))
