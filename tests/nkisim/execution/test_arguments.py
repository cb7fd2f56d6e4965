"""Host arrays on their way in and out of a kernel."""

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.device import random_values, store, tile

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import DTYPES
from nkisim.errors import LaunchError

Pair = namedtuple("Pair", "left right")


def echo(array):
    return array


def fill(array, value=7):
    """Overwrite the first row."""
    row = tile((1, array.shape[1]), array.dtype)
    nisa.memset(row, value)
    nisa.dma_copy(array[0:1], row)


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d != "tfloat32"])
def test_every_data_type_comes_back_bit_for_bit(trn2, dtype):
    data = np.random.default_rng(0).integers(0, 255, (6, 8 * dtype.itemsize), dtype=np.uint8).view(dtype.numpy)
    out = trn2.outputs(echo, data)
    assert out.dtype == data.dtype
    assert out.tobytes() == data.tobytes()


def rows_apart(array):
    """The array as rows of a wider tensor, whose other columns are never written."""
    wide = nl.ndarray((array.shape[0], array.shape[1] + 3), dtype=array.dtype, buffer=nl.shared_hbm)
    rows = wide[:, 1 : 1 + array.shape[1]]
    nisa.dma_copy(rows, array)
    return rows


@pytest.mark.parametrize("dtype", [np.float32, np.int8, ml_dtypes.bfloat16])
def test_a_returned_view_of_rows_that_lie_apart_keeps_its_pitch(trn2, dtype):
    data = np.arange(20).reshape(4, 5).astype(dtype)
    out = trn2.outputs(rows_apart, data)
    np.testing.assert_array_equal(out, data)
    size = np.dtype(dtype).itemsize
    assert out.strides == (8 * size, size)
    between = np.lib.stride_tricks.as_strided(out, (3, 8), out.strides)[:, 5:]
    assert set(between.tobytes()) == {0xFF}
    out[0] = 0  # is the caller's own


def test_a_single_row_of_a_wider_tensor_is_an_array_of_its_own(trn2):
    assert trn2.outputs(rows_apart, np.ones((1, 5), np.float32)).shape == (1, 5)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.complex64])
def test_refuses_a_data_type_nki_does_not_have(refuses, dtype):
    with refuses(LaunchError, "NKI303", str(np.dtype(dtype))):
        nki.simulate(echo)(np.zeros((4, 4), dtype))


def test_the_refusal_names_the_argument_inside_its_container():
    with pytest.raises(LaunchError, match=r"argument x\['a'\]\[1\] has an NKI data type; got float64"):
        nki.simulate(lambda x: None)({"a": [1, np.zeros(3)]})


@pytest.mark.parametrize(
    "cut",
    [lambda a: a, lambda a: a[::2], lambda a: a[:, 1:4], lambda a: a.T, lambda a: a[::-1], np.asfortranarray],
)
def test_an_array_of_any_layout_is_read_and_updated_in_place(trn2, cut):
    base = random_values((6, 8))
    expected = base.copy()
    given = cut(base)
    before = given.copy()
    np.testing.assert_array_equal(trn2.outputs(echo, given), before)
    trn2.run(fill, given)
    assert (given[0] == 7).all()
    np.testing.assert_array_equal(given[1:], before[1:])
    if np.shares_memory(given, base):
        cut(expected)[0] = 7
        np.testing.assert_array_equal(base, expected)


def test_a_read_only_array_is_never_changed(trn2):
    data = random_values((4, 5))
    data.flags.writeable = False
    np.testing.assert_array_equal(trn2.outputs(echo, data), data)
    before = data.copy()
    trn2.run(fill, data)
    np.testing.assert_array_equal(data, before)


def test_an_argument_that_overlaps_a_written_one_does_not_undo_the_write(trn2):
    def kernel(array, same):
        fill(array)

    data = np.zeros((5, 5), np.float32)
    trn2.run(kernel, data, data.T)
    assert (data[0] == 7).all()


def test_the_result_is_a_copy(trn2):
    data = random_values((4, 5))
    out = trn2.outputs(echo, data)
    out[...] = 0
    assert data.all()


def test_scalars_and_empty_dimensions(trn2):
    np.testing.assert_array_equal(trn2.outputs(echo, np.array(3, np.int32)), [3])
    assert trn2.outputs(lambda x, y=2: (x, y), np.float32(1.5)) == (1.5, 2)


@dataclass(frozen=True)
class Weights:
    gate: Any
    scale: float = 2.0
    more: Any = field(default_factory=dict)


def test_arrays_inside_a_dataclass_are_wrapped(trn2):
    def kernel(weights):
        assert isinstance(weights, Weights)
        assert weights.gate.dtype == "bfloat16"
        dst = nl.ndarray(weights.gate.shape, nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst, nl.load(weights.gate), nl.multiply, weights.scale)
        return store(dst), weights.more["bias"]

    given = Weights(random_values((5, 6), ml_dtypes.bfloat16), 3.0, {"bias": random_values((2, 2))})
    scaled, bias = trn2.outputs(kernel, given)
    np.testing.assert_array_equal(scaled, given.gate.astype(np.float32) * 3)
    np.testing.assert_array_equal(bias, given.more["bias"])
    assert isinstance(given.gate, np.ndarray)


def test_a_dataclass_without_arrays_is_passed_as_it_is(trn2):
    given = Weights(None, 2.0, None)
    assert trn2.outputs(lambda weights: weights is given, given)


def test_named_tuples_keep_their_names_both_ways(trn2):
    def kernel(pair):
        assert pair.left.shape == (3, 4)
        return Pair(pair.right, pair.left)

    given = Pair(random_values((3, 4)), random_values((2, 2)))
    out = trn2.outputs(kernel, given)
    assert isinstance(out, Pair)
    np.testing.assert_array_equal(out.right, given.left)


def test_arguments_are_private_on_one_core_and_shared_on_two(trn2):
    def kernel(array):
        return str(array.buffer.value), array.name

    assert trn2.outputs(kernel, np.zeros(4, np.float32)) == ("private_hbm", "array")
    assert trn2.outputs(kernel, np.zeros(4, np.float32), cores=2) == ("shared_hbm", "array")


def test_keyword_arguments_and_defaults_reach_the_kernel():
    @nki.jit
    def kernel(a, *rest, flag=False, **more):
        return a, rest, flag, sorted(more)

    a, rest, flag, more = kernel(np.ones(2, np.float32), np.zeros(2, np.float32), flag=True, other=3)
    assert (a.sum(), rest[0].sum(), flag, more) == (2, 0, True, ["other"])
    with pytest.raises(TypeError, match="missing a required argument"):
        kernel()


def test_a_returned_view_without_elements_is_an_empty_array():
    @nki.jit
    def nothing(x):
        return nl.ndarray((4, 5), dtype=nl.int8, buffer=nl.shared_hbm)[0:0]

    result = nothing(np.zeros((2, 2), np.float32))
    assert (result.shape, result.dtype) == ((0, 5), np.int8)
