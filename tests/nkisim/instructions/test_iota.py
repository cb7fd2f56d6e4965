"""iota: affine integer patterns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device, psum, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, PartitionError, ShapeError


@settings(max_examples=50, deadline=None)
@given(
    pattern=st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 4)), min_size=1, max_size=4),
    offset=st.integers(-1000, 1000),
    multiplier=st.integers(-100, 100),
    partitions=st.integers(1, 9),
)
def test_counts_in_every_dimension_and_partition(pattern, offset, multiplier, partitions):
    counts = [n for _, n in pattern]
    got = Device("trn2").compute(
        lambda dst: nisa.iota(dst, pattern, offset, multiplier), (partitions, int(np.prod(counts))), "int32"
    )
    grid = np.indices((partitions, *counts)).reshape(len(counts) + 1, partitions, -1)
    steps = [multiplier, *(s for s, _ in pattern)]
    np.testing.assert_array_equal(got, offset + sum(s * g for s, g in zip(steps, grid, strict=True)))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16", "uint32", "float8_e4m3"])
def test_is_cast_to_any_type(trn2, dtype):
    got = trn2.compute(lambda dst: nisa.iota(dst, [[3, 7]], -5, 40), (4, 7), dtype)
    expected = -5 + 40 * np.arange(4)[:, None] + 3 * np.arange(7)
    np.testing.assert_array_equal(got, convert(expected.astype(np.int32), dtype_of(dtype)))


@pytest.mark.parametrize("pattern", [[], [[1, 1]] * 5])
def test_refuses_other_than_one_to_four_dimensions(trn2, refuses, pattern):
    trn2.attempt(lambda: nisa.iota(tile((4, 1), "int32"), [[1, 1]] * 4))
    with refuses(ArgumentError, "NKI101", str(pattern)):
        trn2.attempt(lambda: nisa.iota(tile((4, 1), "int32"), pattern))


def test_refuses_another_number_of_values(trn2, refuses):
    trn2.attempt(lambda: nisa.iota(tile((4, 2, 3), "int32"), [[1, 6]]))
    with refuses(ShapeError, "NKI102", "5 for (4, 2, 3)"):
        trn2.attempt(lambda: nisa.iota(tile((4, 2, 3), "int32"), [[1, 5]]))


def test_refuses_psum_packed_types_repeats_and_odd_starts(trn2, refuses):
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: nisa.iota(psum((4, 5)), [[1, 5]]))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: nisa.iota(nl.ndarray((4, 5), "float8_e5m2_x4"), [[1, 5]]))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.iota(tile((4, 1)).broadcast(1, 5), [[1, 5]]))
    with refuses(PartitionError, "NKI202", "partition 3"):
        trn2.attempt(lambda: nisa.iota(tile((8, 5))[3:5], [[1, 5]]))


def test_runs_on_gpsimd(trn2):
    assert trn2.attempt(lambda: nisa.iota(tile((4, 5)), [[1, 5]]))[-1].engine == "gpsimd"
