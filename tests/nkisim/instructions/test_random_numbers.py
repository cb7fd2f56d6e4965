"""rng, rand2, dropout, set_rng_seed, rand_set_state, rand_get_state."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, EngineError, ShapeError, TargetError

GPSIMD, VECTOR = nisa.engine.gpsimd, nisa.engine.vector


def xorwow(state, count):
    """Marsaglia's generator, on Python integers."""
    x, y, z, w, v, d = (int(word) for word in state)
    result, mask = [], 2**32 - 1
    for _ in range(count):
        t = x ^ (x >> 2)
        x, y, z, w = y, z, w, v
        v = (v ^ (v << 4) ^ t ^ (t << 1)) & mask
        d = (d + 362437) & mask
        result.append((v + d) & mask)
    return result, [x, y, z, w, v, d]


def test_a_lane_continues_from_its_state(trn2):
    states = random_values((5, 6), np.uint32)

    def kernel(seeds):
        bits, after = nl.ndarray((5, 7), nl.uint32), nl.ndarray((5, 6), nl.uint32)
        nisa.rand_set_state(nl.load(seeds))
        nisa.rng(bits, GPSIMD)
        nisa.rand_get_state(after)
        return store(bits), store(after)

    bits, after = trn2.outputs(kernel, states)
    for p in range(5):
        words, state = xorwow(states[p], 7)
        np.testing.assert_array_equal(bits[p], words)
        np.testing.assert_array_equal(after[p], state)


def test_the_vector_engine_has_four_generators_a_lane(trn3):
    states = random_values((3, 24), np.uint32)

    def kernel(seeds):
        bits = nl.ndarray((3, 9), nl.uint32)
        nisa.rand_set_state(nl.load(seeds), VECTOR)
        nisa.rng(bits)
        return store(bits)

    bits = trn3.outputs(kernel, states)
    streams = [xorwow(states[2, 6 * g : 6 * g + 6], 3)[0] for g in range(4)]
    np.testing.assert_array_equal(bits[2], [streams[i % 4][i // 4] for i in range(9)])


def seeded(seed, dtype="uint32"):
    def kernel(seeds):
        nisa.set_rng_seed(nl.load(seeds))
        first, second = nl.ndarray((4, 50), dtype), nl.ndarray((4, 50), dtype)
        nisa.rng(first)
        nisa.rng(second)
        return store(first), store(second)

    return kernel, np.array([[seed]], np.uint32)


def test_equal_seeds_give_equal_numbers(trn2):
    (first, second), again = trn2.outputs(*seeded(7)), trn2.outputs(*seeded(7))
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])
    other = trn2.outputs(*seeded(8))[0]
    assert len({a.tobytes() for a in (first, second, other)}) == 3
    assert len(np.unique(np.concatenate([first, second, other]))) == 600


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_smaller_types_get_the_low_bits(trn2, dtype):
    wide = trn2.outputs(*seeded(3))[0]
    got = trn2.outputs(*seeded(3, dtype))[0]
    np.testing.assert_array_equal(got, wide.astype(got.dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int16"])
@pytest.mark.parametrize("column", [False, True])
def test_rand2_is_uniform_between_its_bounds(trn3, dtype, column):
    low, high = np.full((16, 1), -40, np.float32), np.full((16, 1), 100, np.float32)

    def body(dst, a, b):
        nisa.rand2(dst, a if column else -40.0, b if column else 100.0)

    got = trn3.compute(body, (16, 500), dtype, low, high).astype(np.float32)
    assert got.min() >= -40
    assert got.max() <= 100
    np.testing.assert_allclose([got.mean(), got.std()], [30, 140 / np.sqrt(12)], rtol=0.05)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int32])
def test_dropout_keeps_or_zeroes(trn2, dtype):
    data = np.arange(1, 4001).reshape(4, 1000).astype(dtype)
    prob = np.array([[0], [1], [0.25], [0.9]], np.float32)
    got = trn2.compute(lambda dst, x, p: nisa.dropout(dst, x, p), (4, 1000), np.dtype(dtype).name, data, prob)
    assert ((got == data) | (got == 0)).all()
    np.testing.assert_allclose((got == 0).mean(axis=1), prob[:, 0], atol=0.05)


def test_dropout_takes_a_number(trn2):
    got = trn2.compute(lambda dst, x: nisa.dropout(dst, x, 0.5), (4, 500), "float32", np.ones((4, 500), np.float32))
    assert 0.4 < got.mean() < 0.6


def test_rng_refuses(trn2, refuses):
    trn2.attempt(lambda: nisa.rng(psum((4, 6), "int32")))
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: nisa.rng(tile((4, 6))))
    with refuses(EngineError, "NKI105", "scalar"):
        trn2.attempt(lambda: nisa.rng(tile((4, 6), "int32"), nisa.engine.scalar))
    with refuses(BufferRuleError, "NKI104", "PSUM"):
        trn2.attempt(lambda: nisa.rng(psum((4, 6), "int32"), GPSIMD))


def test_rand2_refuses(trn2, trn3, refuses):
    trn3.attempt(lambda: nisa.rand2(psum((4, 6)), 0.0, 1.0))
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(lambda: nisa.rand2(tile((4, 6)), 0.0, 1.0))
    with refuses(ArgumentError, "NKI101", "1.0 and 1.0"):
        trn3.attempt(lambda: nisa.rand2(tile((4, 6)), 1.0, 1.0))
    with refuses(ArgumentError, "NKI101", "0.0 and 0.0"):
        trn3.attempt(lambda: nisa.rand2(tile((4, 6)), tile((4, 1)), 0.0))
    with refuses(DtypeError, "NKI103", "float8_e4m3fn"):
        trn3.attempt(lambda: nisa.rand2(tile((4, 6), "float8_e4m3fn"), 0.0, 1.0))


def test_seeds_and_states_have_a_shape_a_type_and_a_place(trn2, trn3, refuses):
    trn2.attempt(lambda: nisa.set_rng_seed(psum((1, 1), "int32")))
    with refuses(ShapeError, "NKI102", "(1, 2)"):
        trn2.attempt(lambda: nisa.set_rng_seed(tile((1, 2), "uint32")))
    with refuses(DtypeError, "NKI103", "uint16"):
        trn2.attempt(lambda: nisa.set_rng_seed(tile((1, 1), "uint16")))
    with refuses(ShapeError, "NKI102", "(4, 24)"):
        trn2.attempt(lambda: nisa.rand_set_state(tile((4, 24), "uint32")))
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: nisa.rand_set_state(tile((4, 6), "int32")))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn3.attempt(lambda: nisa.rand_set_state(psum((4, 24), "uint32"), VECTOR))
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(lambda: nisa.rand_set_state(tile((4, 24), "uint32"), VECTOR))
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(lambda: nisa.rand_get_state(tile((4, 24), "uint32"), VECTOR))
    trn3.attempt(lambda: nisa.rand_get_state(psum((4, 24), "uint32"), VECTOR))
    with refuses(BufferRuleError, "NKI104", "PSUM"):
        trn3.attempt(lambda: nisa.rand_get_state(psum((4, 6), "uint32")))


def test_dropout_refuses(trn2, refuses):
    def drop(dst="float32", data="float32", prob="bfloat16"):
        nisa.dropout(tile((4, 6), dst), tile((4, 6), data), tile((4, 1), prob))

    trn2.attempt(drop)
    with refuses(DtypeError, "NKI103", "bfloat16 and float32"):
        trn2.attempt(lambda: drop(dst="bfloat16"))
    with refuses(DtypeError, "NKI103", "bfloat16"):
        trn2.attempt(lambda: drop("int32", "int32"))
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: drop(prob="int32"))
