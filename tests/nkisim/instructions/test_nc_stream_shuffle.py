"""nc_stream_shuffle: permutes partitions within each quadrant."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device, hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, PartitionError, ShapeError

IDENTITY = list(range(32))


@settings(max_examples=50, deadline=None)
@given(
    mask=st.lists(st.one_of(st.integers(0, 31), st.just(255)), min_size=32, max_size=32), quadrants=st.integers(1, 4)
)
def test_shuffles_every_quadrant_alike_and_keeps_255(mask, quadrants):
    rows = 32 * quadrants
    data, old = random_values((rows, 5)), random_values((rows, 5), seed=1)

    def kernel(array, before):
        dst = nl.load(before)
        nisa.nc_stream_shuffle(dst, nl.load(array), mask)
        return store(dst)

    expected = old.copy()
    for row in range(rows):
        if mask[row % 32] != 255:
            expected[row] = data[row - row % 32 + mask[row % 32]]
    np.testing.assert_array_equal(Device("trn2").outputs(kernel, data, old), expected)


def test_works_in_place_and_between_quadrants(trn2):
    data = random_values((96, 4))

    def kernel(array):
        t, dst = nl.load(array), tile((96, 4))
        nisa.nc_stream_shuffle(t[0:32], t[0:32], IDENTITY[::-1])
        nisa.nc_stream_shuffle(dst[64:96], t[32:64], [7] * 32)
        return store(t), store(dst)

    t, dst = trn2.outputs(kernel, data)
    np.testing.assert_array_equal(t[:32], data[31::-1])
    np.testing.assert_array_equal(dst[64:], np.tile(data[39], (32, 1)))


def test_few_partitions_may_be_broadcast_to_many(trn2):
    data = random_values((1, 6))

    def body(dst, a):
        nisa.nc_stream_shuffle(dst, a, [0] * 32)

    np.testing.assert_array_equal(trn2.compute(body, (32, 6), "float32", data), np.tile(data, (32, 1)))


@pytest.mark.parametrize("mask", [IDENTITY[:31], [*IDENTITY, 0], [32, *IDENTITY[1:]], [-1, *IDENTITY[1:]]])
def test_refuses_a_mask_that_is_none(trn2, refuses, mask):
    trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((32, 4)), tile((32, 4)), [255, *IDENTITY[1:]]))
    with refuses(ArgumentError, "NKI101", str(mask[0])):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((32, 4)), tile((32, 4)), mask))


def test_refuses_to_read_partitions_the_source_does_not_have(trn2, refuses):
    trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((16, 4)), tile((8, 4)), [7] * 32))
    with refuses(PartitionError, "NKI202", "partition 8 of 8"):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((16, 4)), tile((8, 4)), [8] * 32))


@pytest.mark.parametrize(("rows", "good", "bad"), [(32, 96, 16), (33, 64, 32), (64, 64, 32), (65, 0, 32), (96, 0, 32)])
def test_start_partitions_depend_on_the_quadrants_involved(trn2, refuses, rows, good, bad):
    def body(start):
        whole = tile((128, 4))
        part = whole[start : min(128, start + rows)]
        nisa.nc_stream_shuffle(part, part, IDENTITY)

    trn2.attempt(lambda: body(good))
    with refuses(PartitionError, "NKI202", str(bad)):
        trn2.attempt(lambda: body(bad))


def test_one_long_operand_binds_the_other(trn2, refuses):
    trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((64, 4))[0:32], tile((64, 4))[32:64], IDENTITY))
    with refuses(PartitionError, "NKI202", "src at 32"):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((64, 4)), tile((64, 4))[32:64], [0] * 32))


def test_refuses_other_types_sizes_memories_and_repeats(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32 and int32"):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((32, 4)), tile((32, 4), "int32"), IDENTITY))
    with refuses(ShapeError, "NKI102", "(32, 4) and (32, 5)"):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((32, 4)), tile((32, 5)), IDENTITY))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((32, 4)), hbm((32, 4)), IDENTITY))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.nc_stream_shuffle(tile((32, 1)).broadcast(1, 4), tile((32, 4)), IDENTITY))
    trn2.attempt(lambda: nisa.nc_stream_shuffle(psum((32, 4)), psum((32, 4)), IDENTITY))
