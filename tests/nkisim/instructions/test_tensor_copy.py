"""tensor_copy and memset: moving and filling tiles on chip."""

import math

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import DTYPES, convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, EngineError, PartitionError, ShapeError

VECTOR, SCALAR, GPSIMD = nisa.engine.vector, nisa.engine.scalar, nisa.engine.gpsimd


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d != "tfloat32"])
def test_copies_equal_types_bit_for_bit(trn2, dtype):
    data = np.random.default_rng(0).integers(0, 255, (5, 7 * dtype.itemsize), dtype=np.uint8).view(dtype.numpy)
    got = trn2.compute(nisa.tensor_copy, (5, 7), dtype, data)
    assert got.tobytes() == data.tobytes()


@pytest.mark.parametrize("source", ["float32", "bfloat16", "int32", "uint8", "float8_e4m3fn"])
@pytest.mark.parametrize("target", ["float16", "int8", "uint32", "float8_e5m2", "tfloat32"])
def test_casts_through_float32(trn2, source, target):
    data = random_values((5, 7), dtype_of(source).numpy)
    got = trn2.compute(nisa.tensor_copy, (5, 7), target, data)
    np.testing.assert_array_equal(got, convert(data.astype(np.float32), dtype_of(target)))


def test_copies_through_views_that_overlap(trn2):
    data = random_values((5, 8))

    def kernel(array):
        t = nl.load(array)
        nisa.tensor_copy(t[:, 1:8], t[:, 0:7])
        return store(t)

    np.testing.assert_array_equal(trn2.outputs(kernel, data), data[:, [0, *range(7)]])


@pytest.mark.parametrize("engine", [VECTOR, SCALAR, GPSIMD])
def test_three_engines_copy(trn2, refuses, engine):
    event = trn2.attempt(lambda: nisa.tensor_copy(tile((4, 6)), tile((4, 2, 3)), engine, name="move"))[-1]
    assert (event.engine, event.name, event.work.elements) == (engine.name, "move", 6)
    with refuses(EngineError, "NKI105", "tensor"):
        trn2.attempt(lambda: nisa.tensor_copy(tile((4, 6)), tile((4, 6)), nisa.engine.tensor))


@pytest.mark.parametrize("sides", [(psum, tile), (tile, psum)])
def test_refuses_psum_on_gpsimd(trn2, refuses, sides):
    trn2.attempt(lambda: nisa.tensor_copy(sides[0]((4, 6)), sides[1]((4, 6))))
    with refuses(BufferRuleError, "NKI104", "is in PSUM"):
        trn2.attempt(lambda: nisa.tensor_copy(sides[0]((4, 6)), sides[1]((4, 6)), GPSIMD))


@pytest.mark.parametrize("shape", [(4, 5), (3, 8), (6, 4)])
def test_refuses_tiles_of_unequal_size(trn2, refuses, shape):
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: nisa.tensor_copy(tile(shape), tile((4, 6))))


def test_refuses_hbm_repeats_and_casts_of_packed_types(trn2, refuses):
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: nisa.tensor_copy(hbm((4, 6)), tile((4, 6))))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.tensor_copy(tile((4, 1)).broadcast(1, 6), tile((4, 6))))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: nisa.tensor_copy(tile((4, 6)), tile((4, 6), "float8_e5m2_x4")))
    with refuses(ArgumentError, "NKI101", "NoneType"):
        trn2.attempt(lambda: nisa.tensor_copy(None, tile((4, 6))))


def test_moves_between_quadrants_but_not_between_lanes(trn2, refuses):
    data = random_values((96, 4), ml_dtypes.bfloat16)

    def kernel(array, start):
        t, dst = nl.load(array), nl.ndarray((32, 4), nl.bfloat16, buffer=nl.sbuf)
        nisa.tensor_copy(dst, t[start : start + 32])
        return store(dst)

    np.testing.assert_array_equal(trn2.outputs(kernel, data, 64), data[64:])
    with refuses(PartitionError, "NKI202", "src starts at partition 48"):
        trn2.run(kernel, data, 48)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.5, "float32", 1.5),
        (-3, "int8", -3),
        (300, "uint8", 255),
        (-1, "uint32", 0),
        (2**31 - 1, "int32", 2**31 - 1),
        (2**32 - 1, "uint32", 2**32 - 1),
        (2, "int16", 2),
        (1e9, "float8_e4m3", 240),
        (1e9, "float16", np.inf),
        (-math.inf, "float32", -np.inf),
        (1, "bool", True),
    ],
)
def test_memset_fills_with_the_rounded_value(trn2, value, dtype, expected):
    got = trn2.compute(lambda dst: nisa.memset(dst, value), (3, 5), dtype)
    np.testing.assert_array_equal(got, np.full((3, 5), expected, dtype_of(dtype).numpy))


@pytest.mark.parametrize("value", [2.5, 2.0, np.float32(0), math.inf, math.nan])
def test_memset_of_integers_takes_only_integers(trn2, refuses, value):
    trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.bfloat16), value))
    trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.int32), 2))
    with refuses(ArgumentError, "NKI101", repr(value)):
        trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.int32), value))


@pytest.mark.parametrize("dtype", ["float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4"])
def test_memset_of_packed_types_takes_only_zero(trn3, refuses, dtype):
    assert not np.frombuffer(trn3.compute(lambda dst: nisa.memset(dst, 0), (3, 5), dtype).tobytes(), np.uint8).any()
    with refuses(ArgumentError, "NKI101", "value 1"):
        trn3.attempt(lambda: nisa.memset(nl.ndarray((3, 5), dtype), 1))


def test_memset_runs_on_vector_or_gpsimd(trn2, refuses):
    assert trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.int8), 0))[-1].details == {"zero": True}
    assert trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.int8), 0, GPSIMD))[-1].engine == "gpsimd"
    with refuses(EngineError, "NKI105", "scalar"):
        trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.int8), 0, SCALAR))
    with refuses(BufferRuleError, "NKI104", "dst is in PSUM"):
        trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.float32, nl.psum), 0, GPSIMD))
    with refuses(BufferRuleError, "NKI104", "shared_hbm"):
        trn2.attempt(lambda: nisa.memset(nl.ndarray((3, 5), nl.float32, nl.shared_hbm), 0))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.memset(tile((3, 1)).broadcast(1, 5), 0))
