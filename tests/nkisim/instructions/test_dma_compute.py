"""dma_compute: sums in the DMA engines, and read-modify-write of gathered or scattered rows."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device, hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError

SKIP = nisa.oob_mode.skip


@pytest.mark.parametrize("count", [1, 2, 3, 16])
@pytest.mark.parametrize("target", ["float32", "bfloat16", "int8"])
def test_adds_sources_of_any_type_in_float32(trn2, count, target):
    types = (np.float32, ml_dtypes.bfloat16, np.int8, np.float16)
    data = [random_values((5, 7), types[i % 4], seed=i) for i in range(count)]

    def body(dst, *sources):
        nisa.dma_compute(dst, list(sources), nl.add, scales=[1.0] * count)

    total = np.zeros((5, 7), np.float32)
    for part in data:
        total += part.astype(np.float32)
    np.testing.assert_array_equal(trn2.compute(body, (5, 7), target, *data), convert(total, dtype_of(target)))


def test_shapes_may_differ(trn2):
    left, right = random_values((5, 6)), random_values((10, 3), seed=1)
    got = trn2.compute(lambda dst, a, b: nisa.dma_compute(dst, [a, b], nl.add), (3, 10), "float32", left, right)
    np.testing.assert_array_equal(got.reshape(5, 6), left + right.reshape(5, 6))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.integers(-1, 12), min_size=1, max_size=8, unique=True), start=st.integers(0, 4))
def test_a_scatter_adds_to_the_rows_named_by_its_indices(rows, start):
    table, new = random_values((10, 8)), random_values((len(rows), 4), seed=1)
    expected = table.copy()
    for row, values in zip(rows, new, strict=True):
        if 0 <= row < 10:
            expected[row, start : start + 4] += values

    def kernel(array, values, indices):
        index, source = nl.load(indices), nl.load(values)
        picked = array.ap([[8, len(rows)], [1, 4]], offset=start, vector_offset=index)
        nisa.dma_compute(picked, [picked, source], nl.add, oob_mode=SKIP)

    Device("trn2").run(kernel, table, new, np.array(rows, np.int32).reshape(-1, 1))
    np.testing.assert_array_equal(table, expected)


def test_a_gather_adds_the_rows_named_by_its_indices(trn2):
    table, rows, start = random_values((10, 8)), [3, 0, 3, 9], random_values((4, 8), seed=1)

    def kernel(array, indices, initial):
        total, index = nl.load(initial), nl.load(indices)
        nisa.dma_compute(total, [total, array.vector_select(0, index)], nl.add)
        return store(total)

    got = trn2.outputs(kernel, table, np.array(rows, np.int32).reshape(-1, 1), start)
    np.testing.assert_array_equal(got, start + table[rows])


@pytest.mark.parametrize("count", [0, 17])
def test_refuses_no_source_or_too_many(trn2, refuses, count):
    with refuses(ArgumentError, "NKI101", f"{count} sources"):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8))] * count, nl.add))


@pytest.mark.parametrize(("op", "scales"), [(nl.multiply, None), (nl.add, [1.0, 2.0]), (nl.maximum, [1.0, 1.0])])
def test_refuses_anything_but_unscaled_addition(trn2, refuses, op, scales):
    with refuses(ArgumentError, "NKI101", repr(op), str(scales)):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8))] * 2, op, scales))


def test_refuses_scales_of_another_number(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "2 sources"):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8))] * 2, nl.add, [1.0]))


def test_refuses_sources_of_another_size_memory_or_packing(trn2, refuses):
    trn2.attempt(lambda: nisa.dma_compute(hbm((4, 8)), [tile((4, 8)), hbm((32,))], nl.add))
    with refuses(ShapeError, "NKI102", "(4, 7) for (4, 8)"):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 7))], nl.add))
    with refuses(BufferRuleError, "NKI104", "srcs[1] is in PSUM"):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8)), psum((4, 8))], nl.add))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8), "float8_e5m2_x4")], nl.add))
    with refuses(ShapeError, "NKI102", "strides (0, 1)"):
        trn2.attempt(lambda: nisa.dma_compute(hbm((1, 8)).broadcast(0, 4), [tile((4, 8))], nl.add))


def indexed(sources, **options):
    """A scatter of zeros with `sources` sources."""
    index = tile((4, 1), "int32")
    nisa.iota(index, [[1, 1]], channel_multiplier=1)
    picked = hbm((10, 8)).vector_select(0, index)
    nisa.dma_compute(picked, [picked, *[tile((4, 8))] * (sources - 1)], nl.add, **options)


def test_refuses_an_indexed_sum_of_other_than_two_sources_or_repeated_rows(trn2, refuses):
    trn2.attempt(lambda: indexed(2))
    for sources in (1, 3):
        with refuses(ArgumentError, "NKI101", f"{sources} sources"):
            trn2.attempt(lambda sources=sources: indexed(sources))
    with refuses(ArgumentError, "NKI101", "unique_indices=False"):
        trn2.attempt(lambda: indexed(2, unique_indices=False))


def test_refuses_skip_without_a_runtime_index(trn2, refuses):
    trn2.attempt(lambda: indexed(2, oob_mode=SKIP))
    with refuses(ArgumentError, "NKI101", "static addresses"):
        trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8))], nl.add, oob_mode=SKIP))


def test_refuses_skip_where_rows_do_not_correspond(trn2, refuses):
    def body(rows):
        index = tile((4, 1), "int32")
        nisa.memset(index, 99)
        picked = hbm((10, 8)).vector_select(0, index)
        nisa.dma_compute(tile((rows, 32 // rows)), [tile((rows, 32 // rows)), picked], nl.add, oob_mode=SKIP)

    trn2.attempt(lambda: body(4))
    with refuses(ShapeError, "NKI102", "[2, 4]"):
        trn2.attempt(lambda: body(2))


def test_the_event_says_how_descriptors_are_made(trn2):
    plain = trn2.attempt(lambda: nisa.dma_compute(tile((4, 8)), [tile((4, 8))] * 2, nl.add))[-1]
    assert (plain.engine, plain.details) == ("dma", {"dge": "none", "compute": True})
    assert trn2.attempt(lambda: indexed(2))[-1].details["dge"] == "swdge"
