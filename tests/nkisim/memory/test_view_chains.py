"""A random chain of views of a device tensor shows the same elements as the same chain on a NumPy array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ViewError
from nkisim.memory import NkiTensor, first_unwritten, read, resolve, write

Array = npt.NDArray[Any]
Pair = tuple[NkiTensor, Array]
SHAPES = st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple)


def slice_one(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    axis = data.draw(st.integers(0, array.ndim - 1))
    start = data.draw(st.integers(0, array.shape[axis] - 1))
    stop = data.draw(st.integers(start + 1, array.shape[axis]))
    step = 1 if axis < first else data.draw(st.integers(1, 3))
    key = (slice(None),) * axis + (slice(start, stop, step),)
    assert view.slice(axis, start, stop, step).layout == view[key].layout
    return view[key], array[key]


def pick_one(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    if array.ndim <= first + 1:
        return pair
    axis = data.draw(st.integers(first, array.ndim - 1))
    index = data.draw(st.integers(-array.shape[axis], array.shape[axis] - 1))
    key = (slice(None),) * axis + (index,)
    if index >= 0:
        assert view.select(axis, index).layout == view[key].layout
    return view[key], array[key]


def permute(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    order = (*range(first), *data.draw(st.permutations(range(first, array.ndim))))
    return view.permute(order), array.transpose(order)


def expand(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    if array.ndim > 5:
        return pair
    axis = data.draw(st.integers(first, array.ndim))
    return view.expand_dim(axis), np.expand_dims(array, axis)


def broadcast_or_squeeze(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    ones = [a for a in range(first, array.ndim) if array.shape[a] == 1]
    if not ones:
        return pair
    axis = data.draw(st.sampled_from(ones))
    if array.ndim > first + 1 and data.draw(st.booleans()):
        return view.squeeze_dim(axis), array.squeeze(axis)
    size = data.draw(st.integers(1, 3))
    shape = (*array.shape[:axis], size, *array.shape[axis + 1 :])
    return view.broadcast(axis, size), np.broadcast_to(array, shape)


def reshape(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    shape = (*array.shape[:first], *factors(data, math.prod(array.shape[first:])))
    moved = array.reshape(shape)
    if not np.may_share_memory(moved, array):
        with pytest.raises(ViewError, match="must not need a copy"):
            view.reshape(shape)
        return pair
    return view.reshape(shape), moved


def split_and_merge(pair: Pair, data: st.DataObject, first: int) -> Pair:
    view, array = pair
    axis = data.draw(st.integers(first, array.ndim - 1))
    parts = factors(data, array.shape[axis])
    shape = (*array.shape[:axis], *parts, *array.shape[axis + 1 :])
    split, expected = view.reshape_dim(axis, parts), array.reshape(shape)
    np.testing.assert_array_equal(read(resolve(split)), expected)
    whole = split.flatten_dims(axis, axis + len(parts) - 1)
    assert whole.shape == view.shape
    np.testing.assert_array_equal(read(resolve(whole)), array)
    return split, expected


def factors(data: st.DataObject, size: int) -> tuple[int, ...]:
    """Sizes whose product is `size`."""
    found = []
    while size > 1 and len(found) < 3:
        divisor = data.draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
        found.append(divisor)
        size //= divisor
    return (*found, size)


STEPS = (slice_one, pick_one, permute, expand, broadcast_or_squeeze, reshape, split_and_merge)


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=7), data=st.data())
def test_views_of_hbm(shape: tuple[int, ...], steps: list[Any], data: st.DataObject) -> None:
    values = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)

    def kernel(tensor: NkiTensor) -> None:
        follow((tensor, values), steps, data, first=0)

    Device("trn2").run(kernel, values)


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=7), data=st.data())
def test_views_of_sbuf(shape: tuple[int, ...], steps: list[Any], data: st.DataObject) -> None:
    values = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)

    def kernel(tensor: NkiTensor) -> None:
        tile = nl.ndarray(shape, nl.int32, buffer=nl.sbuf, address=(0, 64) if data.draw(st.booleans()) else None)
        nisa.dma_copy(tile, tensor)
        follow((tile, values), steps, data, first=1)

    Device("trn2").run(kernel, values)


def follow(pair: Pair, steps: list[Any], data: st.DataObject, first: int) -> None:
    for step in steps:
        pair = step(pair, data, first)
        view, array = pair
        assert view.shape == array.shape
        assert (view.ndim, view.size) == (array.ndim, array.size)
        np.testing.assert_array_equal(read(resolve(view)), array)
        pattern = view.ap(view.get_pattern())
        np.testing.assert_array_equal(read(resolve(pattern)), array)


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)), rounds=st.integers(1, 3), data=st.data()
)
def test_a_write_through_a_view_changes_and_marks_the_same_elements(
    shape: tuple[int, ...], rounds: int, data: st.DataObject
) -> None:
    expected, written = np.zeros(shape, np.float32), np.zeros(shape, bool)

    def kernel() -> None:
        tile = nl.ndarray(shape, nl.float32, buffer=nl.sbuf, address=(0, 64) if data.draw(st.booleans()) else None)
        for number in range(1, rounds + 1):
            pair, steps = (tile, np.arange(math.prod(shape)).reshape(shape)), (slice_one, permute, reshape, pick_one)
            for step in steps:
                pair = step(pair, data, 1)
            write(resolve(pair[0]), pair[1] + 100 * number)
            expected.reshape(-1)[pair[1]] = pair[1] + 100 * number
            written.reshape(-1)[pair[1]] = True
        region = resolve(tile)
        first = None if written.all() else tuple(int(i) for i in np.unravel_index(np.argmin(written), shape))
        assert first_unwritten(region) == first
        np.testing.assert_array_equal(read(region)[written], expected[written])
        assert np.isnan(read(region)[~written]).all()

    Device("trn2").run(kernel)
