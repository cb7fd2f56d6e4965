"""tensor_copy_predicated: copies where a predicate holds, keeps the rest."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError


def call(dst=None, src=None, predicate=None, **options):
    """One instruction on zeros."""
    made = tile((4, 6), "uint8") if predicate is None else predicate
    nisa.tensor_copy_predicated(tile((4, 6)) if dst is None else dst, 1.0 if src is None else src, made, **options)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int32])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("scalar", [None, 2.0])
def test_copies_where_the_predicate_is_not_zero(trn2, reverse, dtype, kind, scalar):
    old, new = random_values((5, 9), dtype), random_values((5, 9), dtype, seed=1)
    predicate = np.random.default_rng(2).integers(0, 3, (5, 9)).astype(kind)

    def kernel(before, source, mask):
        dst = nl.load(before)
        nisa.tensor_copy_predicated(dst, nl.load(source) if scalar is None else scalar, nl.load(mask), reverse)
        return store(dst)

    value = new if scalar is None else convert(np.full((5, 9), scalar, np.float32), dtype_of(dtype))
    expected = np.where((predicate == 0) if reverse else (predicate != 0), value, old)
    np.testing.assert_array_equal(trn2.outputs(kernel, old, new, predicate), expected)


def test_copies_special_values_as_they_are(trn2):
    def body(dst, source, mask):
        nisa.memset(dst, 0)
        nisa.tensor_copy_predicated(dst, source, mask)

    data = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)
    got = trn2.compute(body, (1, 4), "float32", data, np.array([[1, 1, 0, 1]], np.uint8))
    np.testing.assert_array_equal(got, [[np.nan, np.inf, 0, 1]])


@pytest.mark.parametrize("dtype", ["int8", "float32", "bool", "int32"])
def test_refuses_a_predicate_that_is_not_unsigned(trn2, refuses, dtype):
    trn2.attempt(call)
    with refuses(DtypeError, "NKI103", dtype):
        trn2.attempt(lambda: call(predicate=tile((4, 6), dtype)))


def test_refuses_another_type(trn2, refuses):
    trn2.attempt(lambda: call(src=tile((4, 6))))
    with refuses(DtypeError, "NKI103", "float32 and bfloat16"):
        trn2.attempt(lambda: call(src=tile((4, 6), "bfloat16")))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: call(dst=tile((4, 6), "float8_e5m2_x4")))


def test_a_number_for_an_integer_tile_is_an_integer(trn2, refuses):
    trn2.attempt(lambda: call(dst=tile((4, 6), "int32"), src=7.0))
    trn2.attempt(lambda: call(src=7.5))
    with refuses(ArgumentError, "NKI101", "7.5"):
        trn2.attempt(lambda: call(dst=tile((4, 6), "int32"), src=7.5))


def test_refuses_source_and_predicate_both_in_psum(trn2, refuses):
    trn2.attempt(lambda: call(src=psum((4, 6)), dst=psum((4, 6))))
    trn2.attempt(lambda: call(src=tile((4, 6)), predicate=psum((4, 6), "uint32")))
    with refuses(BufferRuleError, "NKI104", "both are"):
        trn2.attempt(lambda: call(src=psum((4, 6)), predicate=psum((4, 6), "uint32")))


def test_refuses_other_sizes_memories_and_repeats(trn2, refuses):
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn2.attempt(lambda: call(predicate=tile((4, 5), "uint8")))
    with refuses(ShapeError, "NKI102", "(3, 6)"):
        trn2.attempt(lambda: call(src=tile((3, 6))))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: call(src=hbm((4, 6))))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: call(dst=hbm((4, 6))))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: call(dst=tile((4, 1)).broadcast(1, 6)))
