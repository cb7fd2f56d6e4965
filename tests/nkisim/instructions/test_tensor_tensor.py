"""tensor_tensor: every operator on two tiles, engines, and exact integers on GpSimd."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, EngineError, ShapeError

VECTOR, GPSIMD, SCALAR = nisa.engine.vector, nisa.engine.gpsimd, nisa.engine.scalar
ARITHMETIC = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "maximum": lambda a, b: np.where(a > b, a, b),
    "minimum": lambda a, b: np.where(a < b, a, b),
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "greater_equal": lambda a, b: a >= b,
    "greater": lambda a, b: a > b,
    "less_equal": lambda a, b: a <= b,
    "less": lambda a, b: a < b,
    "logical_and": lambda a, b: (a != 0) & (b != 0),
    "logical_or": lambda a, b: (a != 0) | (b != 0),
    "logical_xor": lambda a, b: (a != 0) ^ (b != 0),
}
BITWISE = {
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
}


def apply(op, **options):
    return lambda dst, a, b: nisa.tensor_tensor(dst, a, b, op, **options)


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8, np.uint16])
def test_arithmetic_is_in_float32(trn2, name, dtype):
    left, right = random_values((7, 13), dtype), random_values((7, 13), dtype, seed=1)
    right[0], left[1, :5] = left[0], 0
    got = trn2.compute(apply(getattr(nl, name)), (7, 13), "float32", left, right)
    expected = ARITHMETIC[name](left.astype(np.float32), right.astype(np.float32)).astype(np.float32)
    np.testing.assert_array_equal(got, expected)


def test_the_result_is_rounded_to_the_destination(trn2):
    left, right = random_values((7, 13)), random_values((7, 13), seed=1)
    for name in ("bfloat16", "int8", "float8_e4m3"):
        got = trn2.compute(apply(nl.multiply), (7, 13), name, left, right)
        np.testing.assert_array_equal(got, convert(left * right, dtype_of(name)))


@pytest.mark.parametrize("name", BITWISE)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int32])
def test_bit_operations_are_on_raw_integers(trn2, name, dtype):
    left, right = random_values((5, 9), dtype), random_values((5, 9), dtype, seed=1)
    got = trn2.compute(apply(getattr(nl, name)), (5, 9), dtype_of(dtype), left, right)
    np.testing.assert_array_equal(got, BITWISE[name](left, right))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16])
def test_shifts_bring_in_zeros_from_both_sides(trn2, dtype):
    data = random_values((5, 9), dtype)
    steps = np.random.default_rng(2).integers(0, 8, (5, 9)).astype(dtype)
    bits = 8 * np.dtype(dtype).itemsize
    unsigned = data.view(f"u{np.dtype(dtype).itemsize}").astype(np.uint64)
    right = (unsigned >> steps.astype(np.uint64)).astype(f"u{bits // 8}").view(dtype)
    left = ((unsigned << steps.astype(np.uint64)) & (2**bits - 1)).astype(f"u{bits // 8}").view(dtype)
    np.testing.assert_array_equal(trn2.compute(apply(nl.right_shift), (5, 9), dtype_of(dtype), data, steps), right)
    np.testing.assert_array_equal(trn2.compute(apply(nl.left_shift), (5, 9), dtype_of(dtype), data, steps), left)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
def test_32_bit_integers_are_exact_on_gpsimd_and_wrap(trn2, name, dtype):
    left, right = random_values((5, 9), dtype), random_values((5, 9), dtype, seed=1)
    with np.errstate(over="ignore"):
        expected = ARITHMETIC[name](left, right)
    np.testing.assert_array_equal(
        trn2.compute(apply(getattr(nl, name)), (5, 9), dtype_of(dtype), left, right), expected
    )


def test_32_bit_integers_lose_bits_on_the_vector_engine_or_from_psum(trn2):
    left, right = np.array([[2**24]], np.int32), np.array([[1]], np.int32)

    def through_psum(dst, a, b):
        moved = nl.ndarray(a.shape, a.dtype, buffer=nl.psum)
        nisa.tensor_copy(moved, a)
        nisa.tensor_tensor(dst, moved, b, nl.add)

    assert trn2.compute(apply(nl.add), (1, 1), "int32", left, right) == 2**24 + 1
    assert trn2.compute(apply(nl.add, engine=VECTOR), (1, 1), "int32", left, right) == 2**24
    assert trn2.compute(through_psum, (1, 1), "int32", left, right) == 2**24


@pytest.mark.parametrize(
    ("dtypes", "op", "engine"),
    [
        (("int32", "int32"), nl.add, "gpsimd"),
        (("int32", "uint32"), nl.subtract, "gpsimd"),
        (("int32", "float32"), nl.add, "vector"),
        (("int32", "int32"), nl.bitwise_and, "vector"),
        (("int16", "int16"), nl.add, "vector"),
        (("float32", "float32"), nl.power, "gpsimd"),
    ],
)
def test_the_engine_follows_the_operands(trn2, dtypes, op, engine):
    event = trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4), dtypes[0]), *(tile((4, 4), d) for d in dtypes), op))[
        -1
    ]
    assert (event.engine, event.details["op"], event.work.elements) == (engine, op.name, 4)


def test_powers(trn2):
    left, right = np.abs(random_values((5, 9))) + 0.5, random_values((5, 9), seed=1)
    got = trn2.compute(apply(nl.power), (5, 9), "float32", left, right)
    np.testing.assert_allclose(got, left.astype(np.float64) ** right, rtol=1e-5)
    ints = trn2.compute(apply(nl.power), (1, 2), "int32", np.array([[2, 3]], np.int32), np.array([[-1, 2]], np.int32))
    np.testing.assert_array_equal(ints, [[0, 9]])


def test_refuses_powers_on_the_vector_engine_or_in_psum(trn2, refuses):
    with refuses(EngineError, "NKI105", "vector"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), tile((4, 4)), nl.power, VECTOR))
    with refuses(BufferRuleError, "NKI104", "data1 is in PSUM"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), psum((4, 4)), tile((4, 4)), nl.power))


def test_refuses_bit_operations_on_gpsimd(trn2, refuses):
    ints = ["int32"] * 3
    trn2.attempt(lambda: nisa.tensor_tensor(*(tile((4, 4), d) for d in ints), nl.bitwise_or, VECTOR))
    with refuses(EngineError, "NKI105", "gpsimd"):
        trn2.attempt(lambda: nisa.tensor_tensor(*(tile((4, 4), d) for d in ints), nl.bitwise_or, GPSIMD))


def test_refuses_two_inputs_in_psum(trn2, refuses):
    trn2.attempt(lambda: nisa.tensor_tensor(psum((4, 4)), psum((4, 4)), tile((4, 4)), nl.add))
    with refuses(BufferRuleError, "NKI104", "both are"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), psum((4, 4)), psum((4, 4)), nl.add))


def test_refuses_psum_on_gpsimd(trn2, refuses):
    trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), tile((4, 4)), nl.add, GPSIMD))
    with refuses(BufferRuleError, "NKI104", "dst is in PSUM"):
        trn2.attempt(lambda: nisa.tensor_tensor(psum((4, 4)), tile((4, 4)), tile((4, 4)), nl.add, GPSIMD))


def test_refuses_the_scalar_engine(trn2, refuses):
    with refuses(EngineError, "NKI105", "scalar"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), tile((4, 4)), nl.add, SCALAR))


def test_refuses_operands_in_hbm(trn2, refuses):
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), hbm((4, 4)), nl.add))


@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (8, 2)])
def test_refuses_tiles_of_unequal_size(trn2, refuses, shape):
    trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 2, 2)), tile((4, 4)), nl.add))
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), tile(shape), nl.add))


def test_refuses_bit_operations_on_floats(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4), "int32"), tile((4, 4)), tile((4, 4)), nl.bitwise_and))


@pytest.mark.parametrize("op", [nl.silu, nl.abs, "add", np.add, None])
def test_refuses_what_is_not_a_binary_operator(trn2, refuses, op):
    with refuses(ArgumentError, "NKI101", repr(op)):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 4)), tile((4, 4)), op))


def test_refuses_packed_and_repeated_tiles(trn2, trn3, refuses):
    packed = "float8_e5m2_x4"
    with refuses(DtypeError, "NKI103", packed):
        trn3.attempt(lambda: nisa.tensor_tensor(tile((4, 4), packed), tile((4, 4)), tile((4, 4)), nl.add))
    with refuses(ShapeError, "NKI102", "strides"):
        trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 1)).broadcast(1, 4), tile((4, 4)), tile((4, 4)), nl.add))
    trn2.attempt(lambda: nisa.tensor_tensor(tile((4, 4)), tile((4, 1)).broadcast(1, 4), tile((4, 4)), nl.add))


def test_overflow_gives_infinity_without_a_warning(trn2):
    big = np.full((1, 2), 3e38, np.float32)
    assert np.isinf(trn2.compute(apply(nl.multiply), (1, 2), "float32", big, big)).all()
    assert np.isnan(trn2.compute(apply(nl.subtract), (1, 2), "float32", big * 0 + np.inf, big * 0 + np.inf)).all()


@pytest.mark.parametrize("dtype", ["float8_e4m3", "float8_e5m2"])
def test_gpsimd_combines_no_fp8(trn2, refuses, dtype):
    def add(kind, engine):
        nisa.tensor_tensor(tile((4, 6)), tile((4, 6)), tile((4, 6), kind), nl.add, engine=engine)

    trn2.attempt(lambda: add("bfloat16", nisa.engine.gpsimd))
    trn2.attempt(lambda: add(dtype, nisa.engine.vector))
    with refuses(EngineError, "NKI105", f"data2 is {dtype}"):
        trn2.attempt(lambda: add(dtype, nisa.engine.gpsimd))
