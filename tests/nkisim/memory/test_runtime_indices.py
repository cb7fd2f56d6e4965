"""select, vector_select and .ap() with runtime offsets: gathers, scatters, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device, hbm, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DtypeError,
    OutOfBounds,
    ShapeError,
    UninitializedRead,
    ViewError,
)

SKIP = nisa.oob_mode.skip


def column(values):
    return np.asarray(values, np.int32).reshape(-1, 1)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.integers(-2, 12), min_size=1, max_size=20), start=st.integers(0, 3), data=st.data())
def test_a_gather_reads_the_rows_named_by_its_indices(rows, start, data):
    width = data.draw(st.integers(1, 7 - start))
    table = np.arange(70, dtype=np.float32).reshape(10, 7)

    def kernel(array, indices):
        index = nl.load(indices)
        dst = nl.full((len(rows), width), -1, nl.float32)
        pattern = [[7, len(rows)], [1, width]]
        nisa.dma_copy(dst, array.ap(pattern, offset=start, vector_offset=index), oob_mode=SKIP)
        return store(dst)

    expected = [table[r, start : start + width] if 0 <= r < 10 else np.full(width, -1) for r in rows]
    np.testing.assert_array_equal(Device("trn2").outputs(kernel, table, column(rows)), expected)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.integers(-2, 12), min_size=1, max_size=12, unique=True), steps=st.booleans())
def test_a_scatter_writes_the_rows_named_by_its_indices_and_no_other(rows, steps):
    values = random_values((len(rows), 4))
    table = np.zeros((10, 8), np.float32)

    def kernel(array, new, indices):
        index, source = nl.load(indices), nl.load(new)
        pattern = [[8, len(rows)], [2 if steps else 1, 4]]
        nisa.dma_copy(array.ap(pattern, vector_offset=index), source, oob_mode=SKIP)

    expected = table.copy()
    for row, new in zip(rows, values, strict=True):
        if 0 <= row < 10:
            expected[row, : 8 if steps else 4 : 2 if steps else 1] = new
    Device("trn2").run(kernel, table, values, column(rows))
    np.testing.assert_array_equal(table, expected)


def test_a_gather_into_a_scatter_drops_rows_out_of_bounds_on_either_side(trn2):
    table, out = random_values((6, 4)), np.zeros((6, 4), np.float32)

    def kernel(array, target, sources, targets):
        nisa.dma_copy(
            target.vector_select(0, nl.load(targets)), array.vector_select(0, nl.load(sources)), oob_mode=SKIP
        )

    trn2.run(kernel, table, out, column([0, 9, 2, 3]), column([5, 4, 9, 1]))
    expected = np.zeros((6, 4), np.float32)
    expected[[5, 1]] = table[[0, 3]]
    np.testing.assert_array_equal(out, expected)


def test_vector_select_is_a_gather_of_whole_rows(trn2):
    table, rows = random_values((10, 3, 5)), [7, 0, 7, 9]

    def kernel(array, indices):
        picked = array.vector_select(0, nl.load(indices))
        assert picked.shape == (4, 3, 5)
        assert picked.is_indirect()
        some = picked[:, 1, 1:4].permute((0, 1))
        return store(nl.load(picked)), store(nl.load(some))

    whole, some = trn2.outputs(kernel, table, column(rows))
    np.testing.assert_array_equal(whole, table[rows])
    np.testing.assert_array_equal(some, table[rows][:, 1, 1:4])


def test_refuses_to_slice_or_select_the_rows_of_a_gather_again(trn2, refuses):
    def body(cut):
        index = tile((4, 1), "int32")
        return cut(hbm((10, 3, 5)).vector_select(0, index))

    trn2.attempt(lambda: body(lambda v: v[:, 1]))
    for cut in (lambda v: v[1:3], lambda v: v[0], lambda v: v.slice(0, 0, 2), lambda v: v.select(0, 1)):
        with refuses(ViewError, "NKI201", "shape=(4, 3, 5)"):
            trn2.attempt(lambda cut=cut: body(cut))
    for move in (lambda v: v.permute((1, 0, 2)), lambda v: v.reshape((12, 5)), lambda v: v.expand_dim(0)):
        with refuses(ViewError, "NKI201"):
            trn2.attempt(lambda move=move: body(move))


def test_refuses_to_reinterpret_or_index_an_indirect_view_again(trn2, refuses):
    def body(cut):
        index = tile((1, 1), "int32")
        return cut(hbm((10, 3, 5)).select(0, index), index)

    trn2.attempt(lambda: body(lambda v, i: v[1:3].reshape((10,))))
    with refuses(ViewError, "NKI201", "as uint8"):
        trn2.attempt(lambda: body(lambda v, i: v.view(nl.uint8)))
    with refuses(ViewError, "NKI201", "second index"):
        trn2.attempt(lambda: body(lambda v, i: v.select(0, i)))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_a_runtime_select_reads_one_element_of_a_dimension(trn2, dim):
    data = random_values((4, 3, 5))

    def kernel(array, where):
        picked = array.select(dim, nl.load(where))
        return store(nl.load(picked))

    expected = data.take(2, axis=dim)
    np.testing.assert_array_equal(trn2.outputs(kernel, data, column([2])), expected)


def test_a_runtime_select_works_on_the_free_dimensions_of_sbuf(trn2, refuses):
    data = random_values((6, 3, 5))

    def kernel(array, dim):
        dst = nl.ndarray((6, 5), nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst, nl.load(array).select(dim, nisa.register_alloc(2)))
        return store(dst)

    np.testing.assert_array_equal(trn2.outputs(kernel, data, 1), data[:, 2])
    with refuses(ViewError, "NKI201", "dim 0"):
        trn2.run(kernel, data, 0)


def test_a_scalar_offset_moves_by_the_stride_of_the_indexed_dimension(trn2):
    data = random_values((12, 8))

    def kernel(array):
        rows = nl.load(array.ap([[8, 3], [1, 4]], scalar_offset=nisa.register_alloc(5)))
        columns = nl.load(array.ap([[8, 3], [1, 4]], offset=8, scalar_offset=nisa.register_alloc(4), indirect_dim=1))
        part = array[2:6]
        inside = nl.load(part.ap([[8, 2], [1, 8]], scalar_offset=nisa.register_alloc(1)))
        return store(rows), store(columns), store(inside)

    rows, columns, inside = trn2.outputs(kernel, data)
    np.testing.assert_array_equal(rows, data[5:8, :4])
    np.testing.assert_array_equal(columns, data[1:4, 4:8])
    np.testing.assert_array_equal(inside, data[3:5])


def test_an_out_of_bounds_scalar_index_is_an_error_or_drops_the_copy(trn2, refuses):
    def kernel(array, at, mode):
        dst = nl.full((2, 8), -1, nl.float32)
        source = array[0:6].ap([[8, 2], [1, 8]], scalar_offset=nisa.register_alloc(at))
        nisa.dma_copy(dst, source, oob_mode=mode)
        return store(dst)

    data = random_values((12, 8))
    np.testing.assert_array_equal(trn2.outputs(kernel, data, 5, nisa.oob_mode.error), data[5:7])
    np.testing.assert_array_equal(trn2.outputs(kernel, data, 6, SKIP), np.full((2, 8), -1))
    np.testing.assert_array_equal(trn2.outputs(kernel, data, -1, SKIP), np.full((2, 8), -1))
    with refuses(OutOfBounds, "NKI204", "index 6 at position 0"):
        trn2.run(kernel, data, 6, nisa.oob_mode.error)


def test_refuses_an_out_of_bounds_index_of_a_gather(trn2, refuses):
    def kernel(array, indices):
        nl.load(array.vector_select(0, nl.load(indices)))

    table = random_values((10, 4))
    trn2.run(kernel, table, column([9, 0]))
    with refuses(OutOfBounds, "NKI204", "index 10 at position 1"):
        trn2.run(kernel, table, column([9, 10]))
    with refuses(OutOfBounds, "NKI204", "index -1 at position 0"):
        trn2.run(kernel, table, column([-1, 0]))


def test_refuses_fewer_indices_than_rows(trn2, refuses):
    def body(count):
        index = tile((count, 1), "int32")
        nisa.dma_copy(tile((4, 8)), hbm((10, 8)).ap([[8, 4], [1, 8]], vector_offset=index))

    trn2.attempt(lambda: body(4))
    with refuses(ShapeError, "NKI102", "3 indices for shape (4, 8)"):
        trn2.attempt(lambda: body(3))


def test_refuses_a_runtime_index_that_nothing_wrote(trn2, refuses):
    def body(written, mode):
        index = nl.ndarray((4, 1), nl.int32, buffer=nl.sbuf)
        nisa.memset(index[0:written], 0)
        nisa.dma_copy(tile((4, 8)), hbm((10, 8)).vector_select(0, index), oob_mode=mode)

    for mode in (SKIP, nisa.oob_mode.error):
        trn2.attempt(lambda mode=mode: body(4, mode))
        with refuses(UninitializedRead, "NKI401", "element (3, 0) of shape (4, 1)"):
            trn2.attempt(lambda mode=mode: body(3, mode))


@pytest.mark.parametrize(
    ("make", "error", "code", "actual"),
    [
        (lambda: hbm((4, 1), "int32"), BufferRuleError, "NKI104", "private_hbm"),
        (lambda: tile((4, 1), "float32"), DtypeError, "NKI103", "float32"),
        (lambda: tile((4, 1), "int16"), DtypeError, "NKI103", "int16"),
        (lambda: nisa.register_alloc(1), ArgumentError, "NKI101", "VirtualRegister"),
        (lambda: [0, 1, 2, 3], ArgumentError, "NKI101", "list"),
    ],
)
def test_refuses_indices_that_are_not_32_bit_integers_in_sbuf(trn2, refuses, make, error, code, actual):
    def body(index):
        return hbm((10, 8)).ap([[8, 4], [1, 8]], vector_offset=index)

    trn2.attempt(lambda: body(tile((4, 1), "uint32")))
    with refuses(error, code, actual):
        trn2.attempt(lambda: body(make()))


def test_refuses_a_scalar_index_of_several_elements(trn2, refuses):
    trn2.attempt(lambda: hbm((10, 8)).select(0, tile((1, 1), "int32")))
    with refuses(ShapeError, "NKI102", "shape (1, 2)"):
        trn2.attempt(lambda: hbm((10, 8)).select(0, tile((1, 2), "int32")))


def test_refuses_to_gather_from_sbuf(trn2, refuses):
    def body(make):
        return make((10, 8)).ap([[8, 4], [1, 8]], vector_offset=tile((4, 1), "int32"))

    trn2.attempt(lambda: body(hbm))
    with refuses(BufferRuleError, "NKI104", "sbuf"):
        trn2.attempt(lambda: body(tile))
    with refuses(ViewError, "NKI201", "dim 0 of NkiTensor(shape=(10, 8)"):
        trn2.attempt(lambda: tile((10, 8)).vector_select(0, tile((4, 1), "int32")))
    with refuses(ViewError, "NKI201", "dim 1"):
        trn2.attempt(lambda: hbm((10, 8)).vector_select(1, tile((4, 1), "int32")))


def test_a_gather_in_a_device_loop_may_drop_another_number_of_rows_each_time(trn2):
    table = random_values((6, 4))

    def kernel(array, indices):
        dst = nl.zeros((3, 4), nl.float32)

        def body(i):
            index = nl.load(indices[i])
            nisa.dma_copy(dst, array.vector_select(0, index), oob_mode=SKIP)

        nl.fori_loop(0, 2, body)
        return store(dst)

    picked = np.array([[[0], [1], [2]], [[5], [99], [99]]], np.int32)
    np.testing.assert_array_equal(trn2.outputs(kernel, table, picked), table[[5, 1, 2]])
