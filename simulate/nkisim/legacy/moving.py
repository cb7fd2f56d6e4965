# SPDX-License-Identifier: Apache-2.0
"""Values of irregular accesses: box by box through the memory's door, without an instruction and without time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import UninitializedRead
from nkisim.legacy.homes import Home
from nkisim.legacy.indices import Spread, steps_of
from nkisim.legacy.masks import Slices, box_of
from nkisim.memory import NkiTensor, first_unwritten, read, resolve, write
from nkisim.memory.views import Layout


def in_core(home: Home, spread: Spread) -> NkiTensor | None:
    """The view as a tensor of the core; None where it is no strided part of one piece."""
    if spread.layout is None or (found := home.located(spread.layout)) is None:
        return None
    block, layout = found
    piece = home.piece(block)
    if home.region.is_hbm:
        return NkiTensor(piece.storage, piece.block, layout, home.dtype)
    pitch, width = piece.strides[0], home.width
    row, column = divmod(layout.offset, width)
    strides = (layout.strides[0] // width * pitch, *layout.strides[1:])
    shape = layout.shape if len(layout.shape) > 1 else (*layout.shape, 1)
    strides = strides if len(layout.shape) > 1 else (*strides, 1)
    return NkiTensor(
        piece.storage, piece.block, Layout(shape, strides, piece.offset + row * pitch + column), home.dtype
    )


def parts(home: Home, spread: Spread, live: Array) -> Iterator[tuple[Slices, NkiTensor]]:
    """Boxes of the view that the mask touches, each with its tensor of the core."""
    box, whole = box_of(live)
    if any(one.start == one.stop for one in box):
        return
    inner = cropped(spread, box)
    if whole and (tensor := in_core(home, _strided(inner))) is not None:
        yield box, tensor
        return
    part = live[box]
    axis = _axis_to_split(inner, part)
    for number in range(part.shape[axis]):
        slot = tuple(slice(number, number + 1) if i == axis else slice(0, n) for i, n in enumerate(part.shape))
        for within, tensor in parts(home, cropped(inner, slot), part[slot]):
            yield tuple(_moved(a, b, c) for a, b, c in zip(box, slot, within, strict=True)), tensor


def _moved(outer: slice, slot: slice, inner: slice) -> slice:
    start = outer.start + slot.start + inner.start
    return slice(start, start + inner.stop - inner.start)


def cropped(spread: Spread, box: Slices) -> Spread:
    """A box of a view, which lies inside the tensor as a whole."""
    if spread.layout is None:
        assert spread.positions is not None
        return Spread(None, spread.positions[box])
    strides, offset = spread.layout.strides, spread.layout.offset
    offset += sum(one.start * stride for one, stride in zip(box, strides, strict=True))
    return Spread(Layout(tuple(one.stop - one.start for one in box), strides, offset))


def _strided(spread: Spread) -> Spread:
    """The same view, as a layout if it is one."""
    if spread.layout is not None or spread.positions is None:
        return spread
    even = steps_of(spread.positions)
    return spread if even is None else Spread(Layout(spread.shape, even[1], even[0]))


def _axis_to_split(spread: Spread, live: Array) -> int:
    """The first axis along which the positions do not advance evenly, else the first of several elements."""
    several = [axis for axis, size in enumerate(live.shape) if size > 1]
    if spread.positions is not None:
        for axis in several:
            line = np.moveaxis(spread.positions, axis, 0)
            if live.shape[axis] > 2 and (np.diff(line, 2, axis=0) != 0).any():
                return axis
    return several[0] if several else 0


def values_of(home: Home, spread: Spread, live: Array | None = None, fill: float = 0.0) -> Array:
    """A copy of the values of a view; `fill` where the mask excludes them.

    Raises:
        UninitializedRead: one of the others was never written.
    """
    touched = np.ones(spread.shape, bool) if live is None else live
    result = np.full(spread.shape, fill, home.dtype.numpy)
    for box, tensor in parts(home, spread, touched):
        region = resolve(tensor)
        if (missing := first_unwritten(region)) is not None:
            raise UninitializedRead(
                "instructions read what was written before",
                f"element {missing} of {tensor!r}",
                "Write it, or mask it.",
                tensor.storage.allocated_at,
            )
        result[box] = read(region).reshape(result[box].shape)
    return result


def put(home: Home, spread: Spread, values: Any, live: Array | None = None) -> None:
    """Write values to the elements of a view that the mask touches."""
    touched = np.ones(spread.shape, bool) if live is None else live
    full = np.broadcast_to(values, spread.shape)
    for box, tensor in parts(home, spread, touched):
        write(resolve(tensor), np.ascontiguousarray(full[box]))
