"""tensor[...]: which view an index gives, and which index is refused."""

import numpy as np
import pytest
from support.device import hbm, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, OutOfBounds, ViewError

ALL = slice(None)
CUBE = (64, 64, 64)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ((0, 0, 10), (1, 1)),
        ((ALL, 0), (64, 64)),
        ((ALL, 0, 10), (64, 1)),
        ((slice(0, 64), 0, slice(0, 64)), (64, 64)),
        ((ALL, 0, ALL), (64, 64)),
        ((ALL, ALL, slice(None, None, 2)), (64, 64, 32)),
        (..., CUBE),
        ((0, ..., ALL), (1, 64, 64)),
        ((0, ...), (1, 64, 64)),
        ((0, ALL, ALL), (1, 64, 64)),
        ((ALL, ALL, 0), (64, 64)),
        (0, (1, 64, 64)),
        (-1, (1, 64, 64)),
        ((0, 0), (1, 64)),
        ((ALL, -1, -1), (64, 1)),
        ((slice(-3, None), ALL, slice(1, 10, 4)), (3, 64, 3)),
        ((nl.ds(8, 4), ALL, nl.ds(np.int64(2), 5)), (4, 64, 5)),
    ],
)
def test_an_on_chip_view_keeps_its_partitions_and_two_dimensions(trn2, key, shape):
    trn2.attempt(lambda: _check_shape(nl.ndarray(CUBE, nl.float32, buffer=nl.sbuf), key, shape))


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ((0, ALL, ALL), (128, 32)),
        (0, (128, 32)),
        ((0, 5), (32,)),
        ((0, 5, 7), (1,)),
        ((ALL, 5, 7), (4,)),
        ((..., 7), (4, 128)),
    ],
)
def test_an_hbm_view_drops_an_integer_index_but_keeps_one_dimension(trn2, key, shape):
    trn2.attempt(lambda: _check_shape(nl.ndarray((4, 128, 32), nl.float32, buffer=nl.shared_hbm), key, shape))


def _check_shape(tensor, key, shape):
    assert tensor[key].shape == shape
    assert tensor[key].storage is tensor.storage


def test_views_of_views_compose(trn2):
    def body():
        t = nl.ndarray((128, 4, 16), nl.float32, buffer=nl.sbuf)
        u = t[0:64, :, :].permute((0, 2, 1))[:, 3, :]
        assert (u.shape, u.strides, u.offset) == ((64, 4), (64, 16), 3)
        v = t[0, ...][:, 0:2, :]
        assert (v.shape, v.get_pattern()) == ((1, 2, 16), [[64, 1], [16, 2], [1, 16]])

    trn2.attempt(body)


@pytest.mark.parametrize(
    ("key", "actual"),
    [
        ((ALL, 8), "elements 8..8 of dimension 1"),
        ((ALL, -9), "elements -1..-1"),
        ((ALL, slice(4, 9)), "elements 4..8"),
        ((ALL, slice(-9, None)), "elements -1"),
        ((ALL, slice(9, 9)), "dimension 1 of shape (16, 8)"),
        ((ALL, nl.ds(5, 4)), "elements 5..8"),
        ((slice(0, 17),), "elements 0..16 of dimension 0"),
    ],
)
def test_refuses_an_index_outside_its_dimension(trn2, refuses, key, actual):
    trn2.attempt(lambda: tile((16, 8))[:, 7:8])
    with refuses(OutOfBounds, "NKI204", actual):
        trn2.attempt(lambda: tile((16, 8))[key])


@pytest.mark.parametrize("key", [(ALL, slice(3, 3)), (slice(0, 0),), (ALL, nl.ds(8, 0)), (slice(16, 16),)])
def test_an_empty_view_can_be_made_but_no_instruction_takes_it(trn2, refuses, key):
    trn2.attempt(lambda: tile((16, 8))[key])
    with refuses(OutOfBounds, "NKI204", "shape=("):
        trn2.attempt(lambda: nisa.memset(tile((16, 8))[key], 0))


@pytest.mark.parametrize(
    ("key", "actual"),
    [
        ((0, 0, 0), "(0, 0, 0)"),
        ((..., ...), "Ellipsis"),
        (("a",), "str"),
        ((None,), "NoneType"),
        ((ALL, 1.5), "float"),
        ((ALL, slice(None, None, -1)), "-1"),
        ((ALL, slice(0.0, 4.0)), "slice(0.0, 4.0, None)"),
    ],
)
def test_refuses_an_index_that_is_not_one(trn2, refuses, key, actual):
    with refuses(ArgumentError, "NKI101", actual):
        trn2.attempt(lambda: tile((16, 8))[key])


@pytest.mark.parametrize("key", [1.0, slice(1.0, 2), slice(0, 2.0)])
def test_a_float_is_no_index_though_an_equal_integer_was_one(trn2, refuses, key):
    def body():
        t = tile((16, 8))
        for number in (1, slice(1, 2), slice(0, 2)):
            assert t[:, number].storage is t.storage
        t[:, key]

    with refuses(ArgumentError, "NKI101"):
        trn2.attempt(body)


@pytest.mark.parametrize(
    ("rows", "columns"), [(range(10), range(7)), (range(2, 6), range(0, 7, 3)), (range(9, 9), range(7))]
)
def test_a_range_selects_what_the_slice_of_its_bounds_does(trn2, rows, columns):
    def body():
        for t in (tile((10, 7)), hbm((10, 7))):
            by_range = t[rows, columns]
            by_slice = t[rows.start : rows.stop, columns.start : columns.stop : columns.step]
            assert by_range.layout == by_slice.layout

    trn2.attempt(body)


@pytest.mark.parametrize("rows", [range(5, 11), range(-1, 3), range(5, 0, -1)])
def test_refuses_a_range_outside_the_dimension(trn2, refuses, rows):
    with refuses(OutOfBounds, "NKI204") if rows.step > 0 else refuses(ArgumentError, "NKI101"):
        trn2.attempt(lambda: tile((10, 7))[rows])


def test_a_runtime_start_selects_the_elements_at_its_value(trn2):
    def kernel(data):
        reg = nisa.register_alloc(5)
        loaded = nl.load(data[nl.ds(reg, 3), :])
        return store(loaded), store(nl.load(data[reg])), store(nl.load(data[:, reg].reshape((10, 1))))

    data = np.arange(70, dtype=np.float32).reshape(10, 7)
    some, row, column = trn2.outputs(kernel, data)
    np.testing.assert_array_equal(some, data[5:8])
    np.testing.assert_array_equal(row, data[5:6])
    np.testing.assert_array_equal(column, data[:, 5:6])


def test_refuses_a_runtime_slice_that_leaves_its_dimension_though_not_the_tensor(trn2, refuses):
    def kernel(data, start):
        dst = tile((10, 4))
        nisa.dma_copy(dst, data[:, nl.ds(nisa.register_alloc(start), 4)])
        return store(dst)

    data = np.arange(70, dtype=np.float32).reshape(10, 7)
    np.testing.assert_array_equal(trn2.outputs(kernel, data, 3), data[:, 3:7])
    with refuses(OutOfBounds, "NKI204", "index 4"):
        trn2.run(kernel, data, 4)


def test_refuses_two_runtime_indices_in_one_view(trn2, refuses):
    def body(key):
        reg = nisa.register_alloc(1)
        return hbm((4, 4, 4))[key(reg)]

    trn2.attempt(lambda: body(lambda reg: (reg, 0)))
    with refuses(ViewError, "NKI201", "dimensions 0 and 1"):
        trn2.attempt(lambda: body(lambda reg: (reg, reg)))
    with refuses(ViewError, "NKI201", "second index"):
        trn2.attempt(lambda: hbm((4, 4, 4))[nisa.register_alloc(1)][nl.ds(nisa.register_alloc(1), 2)])


def test_a_tensor_is_true_whatever_it_holds_and_has_a_length(trn2):
    trn2.attempt(lambda: _check_handle(tile((16, 8)), 16))


def _check_handle(tensor, length):
    assert tensor
    assert len(tensor) == length
