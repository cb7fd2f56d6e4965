"""dma_copy: what it moves and casts, descriptor modes, and what the DMA engines cannot do."""

import re

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DtypeError,
    EngineError,
    OutOfBounds,
    PartitionError,
    ShapeError,
    TargetError,
)

MODE, SKIP = nisa.dge_mode, nisa.oob_mode.skip


def gathered(rows=4):
    return hbm((10, 8)).vector_select(0, tile((rows, 1), "int32"))


def moved():
    return hbm((10, 8)).ap([[8, 4], [1, 8]], scalar_offset=nisa.register_alloc(1))


@pytest.mark.parametrize(
    ("source", "target"), [((6, 10), (6, 10)), ((6, 10), (60,)), ((3, 4, 5), (4, 15)), ((1,), (1, 1))]
)
def test_copies_in_row_major_order_whatever_the_shapes(trn2, source, target):
    data = random_values(source)

    def kernel(array):
        out = nl.ndarray(target, nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(out, array)
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, data), data.reshape(target))


def test_moves_through_views_on_both_sides(trn2):
    data = random_values((6, 10))

    def kernel(array):
        t, out = nl.zeros((6, 20), nl.float32), nl.zeros((5, 6), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(t[:, ::2], array)
        nisa.dma_copy(out.permute((1, 0)), t[:, 0:10:2])
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, data), data[:, :5].T)


@pytest.mark.parametrize("source", ["float32", "int32", "uint32", "int8", "bfloat16", "float8_e5m2"])
@pytest.mark.parametrize("target", ["float32", "int32", "uint8", "int16", "float16", "float8_e4m3"])
def test_casts_through_float32(trn2, source, target):
    data = random_values((5, 7), dtype_of(source).numpy)
    got = trn2.compute(nisa.dma_copy, (5, 7), target, data)
    expected = data if source == target else convert(data.astype(np.float32), dtype_of(target))
    np.testing.assert_array_equal(got, expected)


def test_large_integers_lose_bits_only_when_the_type_changes(trn2):
    data = np.array([[2**24 + 1, 2**31 - 1, -(2**24) - 1]], np.int32)
    np.testing.assert_array_equal(trn2.compute(nisa.dma_copy, (1, 3), "int32", data), data)
    got = trn2.compute(nisa.dma_copy, (1, 3), "uint32", data)
    np.testing.assert_array_equal(got, np.array([[2**24, 2**31, 0]], np.uint32))


def test_skip_leaves_the_rows_it_drops_alone(trn2):
    def kernel(array):
        dst, index = nl.full((4, 8), -1, nl.float32), tile((4, 1), "int32")
        nisa.iota(index, [[1, 1]], offset=8, channel_multiplier=1)
        nisa.dma_copy(dst, array.vector_select(0, index), oob_mode=SKIP)
        out = nl.ndarray((4, 8), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(out, dst)
        return out

    data = random_values((10, 8))
    np.testing.assert_array_equal(trn2.outputs(kernel, data), np.concatenate([data[8:], -np.ones((2, 8))]))


def test_refuses_skip_where_rows_do_not_correspond(trn2, refuses):
    def body(shape, index):
        rows = hbm((10, 8)).vector_select(0, tile((4, 1), "int32") if index is None else index)
        nisa.dma_copy(tile(shape), rows, oob_mode=SKIP)

    def outside():
        index = tile((4, 1), "int32")
        nisa.memset(index, 10)
        return index

    trn2.attempt(lambda: body((4, 8), outside()))
    with refuses(ShapeError, "NKI102", "first dimensions [2, 4]"):
        trn2.attempt(lambda: body((2, 16), outside()))


@pytest.mark.parametrize("shape", [(4, 7), (4, 9), (1, 8)])
def test_refuses_unequal_numbers_of_elements(trn2, refuses, shape):
    trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), hbm((2, 16))))
    with refuses(ShapeError, "NKI102", f"(4, 8) and {shape}"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), hbm(shape)))


@pytest.mark.parametrize("shape", [(16,), (1, 16), (2, 8)])
def test_a_row_for_every_partition_is_refused_with_the_view_that_repeats_it(trn2, shape):
    said = f"src{'' if shape[0] == 1 else '.reshape((1, 16))'}.broadcast(0, 4)."
    with pytest.raises(ShapeError, match=f"{re.escape(said)}$"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 16)), hbm(shape)))
    trn2.attempt(lambda: nisa.dma_copy(tile((4, 16)), hbm(shape).reshape((1, 16)).broadcast(0, 4)))
    with pytest.raises(ShapeError, match="Slice one of them"):  # no view repeats a partition
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 16)), tile((1, 16))))


def test_refuses_psum_on_either_side(trn2, refuses):
    with refuses(BufferRuleError, "NKI104", "src is in PSUM"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), psum((4, 8))))
    with refuses(BufferRuleError, "NKI104", "dst is in PSUM"):
        trn2.attempt(lambda: nisa.dma_copy(psum((4, 8)), tile((4, 8))))


def test_refuses_what_is_not_a_tensor(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "ndarray"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), np.zeros((4, 8), np.float32)))


@pytest.mark.parametrize(
    "overlap",
    [
        lambda: hbm((1, 8)).broadcast(0, 4),
        lambda: hbm((32,)).ap([[2, 4], [1, 8]]),
        lambda: hbm((64,)).ap([[3, 2], [2, 4], [7, 4]]),
        lambda: hbm((64,)).ap([[4, 4], [-1, 8]], offset=7),
    ],
)
def test_refuses_to_write_an_element_twice(trn2, refuses, overlap):
    trn2.attempt(lambda: nisa.dma_copy(hbm((64,)).ap([[3, 2], [2, 3], [8, 4]]), tile((4, 6))))
    with refuses(ShapeError, "NKI102", "strides"):
        trn2.attempt(lambda: nisa.dma_copy(overlap(), tile((4, 8))))


def test_packed_types_are_copied_but_not_cast(trn3, refuses):
    trn3.attempt(lambda: nisa.dma_copy(tile((4, 8), "float8_e5m2_x4"), hbm((4, 8), "float8_e5m2_x4")))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn3.attempt(lambda: nisa.dma_copy(tile((4, 8)), nl.ndarray((4, 8), "float8_e5m2_x4", nl.private_hbm)))


@pytest.mark.parametrize("engine", [nisa.engine.sync, nisa.engine.scalar])
def test_hwdge_is_issued_by_sync_or_scalar(trn2, refuses, engine):
    trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), moved(), dge_mode=MODE.hwdge, engine=engine))
    with refuses(EngineError, "NKI105", "vector"):
        trn2.attempt(
            lambda: nisa.dma_copy(tile((4, 8)), moved(), dge_mode=MODE.hwdge, engine=nisa.engine.vector)
        )  # fmt: skip
    with refuses(ArgumentError, "NKI101", "engine with swdge"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), moved(), dge_mode=MODE.swdge, engine=engine))


def test_hwdge_neither_casts_nor_gathers(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32 to bfloat16"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 8), "bfloat16"), moved(), dge_mode=MODE.hwdge))
    with refuses(ArgumentError, "NKI101", "gather"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), gathered(), dge_mode=MODE.hwdge))
    trn2.attempt(lambda: nisa.dma_copy(tile((4, 8), "bfloat16"), gathered(), dge_mode=MODE.swdge))


def test_static_descriptors_take_no_runtime_index(trn2, refuses):
    trn2.attempt(lambda: nisa.dma_copy(tile((4, 8)), hbm((4, 8)), dge_mode=MODE.none))
    for source in (gathered, moved):
        with refuses(ArgumentError, "NKI101", "runtime index"):
            trn2.attempt(lambda source=source: nisa.dma_copy(tile((4, 8)), source(), dge_mode=MODE.none))


@pytest.mark.parametrize(
    ("source", "dtype", "mode"),
    [
        (lambda: hbm((4, 8)), "float32", "none"),
        (lambda: hbm((4, 8)), "bfloat16", "none"),
        (moved, "float32", "hwdge"),
        (moved, "bfloat16", "swdge"),
        (gathered, "float32", "swdge"),
    ],
)
def test_the_event_says_how_descriptors_are_made(trn2, source, dtype, mode):
    event = trn2.attempt(lambda: nisa.dma_copy(tile((4, 8), dtype), source(), name="load"))[-1]
    assert (event.opcode, event.engine, event.name, event.details["dge"]) == ("dma_copy", "dma", "load", mode)


def test_priority_needs_neuroncore_v4_and_has_four_levels(trn2, trn3, refuses):
    def body(priority):
        nisa.dma_copy(tile((4, 8)), hbm((4, 8)), priority=priority)

    trn2.attempt(lambda: body(None))
    trn3.attempt(lambda: body(3))
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(lambda: body(0))
    with refuses(ArgumentError, "NKI101", "4"):
        trn3.attempt(lambda: body(4))


def test_refuses_to_leave_the_tensor(trn2, refuses):
    with refuses(OutOfBounds, "NKI204", "bytes 0..160"):
        trn2.attempt(lambda: nisa.dma_copy(tile((4, 10)), hbm((4, 8)).ap([[10, 4], [1, 10]])))


def test_sbuf_to_sbuf_may_start_at_any_partition(trn2):
    def body(dst, source):
        nisa.dma_copy(dst[3:9], source[7:13])
        nisa.dma_copy(dst[0:3], source[0:3])

    data = random_values((16, 4), ml_dtypes.bfloat16)
    got = trn2.compute(body, (9, 4), "bfloat16", data)
    np.testing.assert_array_equal(got, np.concatenate([data[0:3], data[7:13]]))


def test_refuses_more_than_128_partitions_of_sbuf(trn2, refuses):
    def body(count):
        nisa.dma_copy(hbm((count, 4)), tile((128, 4)).ap([[4, count], [1, 4]]))

    trn2.attempt(lambda: body(128))
    with refuses(PartitionError, "NKI202", "200"):
        trn2.attempt(lambda: body(200))
