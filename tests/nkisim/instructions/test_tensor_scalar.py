"""tensor_scalar: two chained operations with numbers or columns, and its engines."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, EngineError, ShapeError

SCALAR, GPSIMD, VECTOR = nisa.engine.scalar, nisa.engine.gpsimd, nisa.engine.vector


def call(**arguments):
    """One instruction on zeros; by default dst = data * 2."""
    defaults = {"dst": None, "data": None, "op0": nl.multiply, "operand0": 2.0}
    given = {**defaults, **arguments}
    given["dst"] = tile((4, 6)) if given["dst"] is None else given["dst"]
    given["data"] = tile((4, 6)) if given["data"] is None else given["data"]
    nisa.tensor_scalar(**given)


@pytest.mark.parametrize("reverse0", [False, True])
@pytest.mark.parametrize("reverse1", [False, True])
def test_applies_two_operations_in_order(trn2, reverse0, reverse1):
    data = random_values((7, 11), ml_dtypes.bfloat16)

    def body(dst, a):
        nisa.tensor_scalar(dst, a, nl.subtract, 1.5, reverse0, nl.subtract, 0.25, reverse1)

    x = data.astype(np.float32)
    x = 1.5 - x if reverse0 else x - 1.5
    x = 0.25 - x if reverse1 else x - 0.25
    got = trn2.compute(body, (7, 11), "bfloat16", data)
    np.testing.assert_array_equal(got, convert(x.astype(np.float32), dtype_of("bfloat16")))


def test_a_column_gives_each_partition_its_own_operand(trn2):
    data, scale, shift = random_values((7, 3, 5)), random_values((7, 1), seed=1), random_values((7, 1), seed=2)

    def body(dst, a, b, c):
        nisa.tensor_scalar(dst, a, nl.multiply, b, op1=nl.add, operand1=c)

    got = trn2.compute(body, (7, 3, 5), "float32", data, scale, shift)
    np.testing.assert_array_equal(got, data * scale[:, :, None] + shift[:, :, None])


def test_numbers_are_rounded_to_float32(trn2):
    got = trn2.compute(
        lambda dst, a: nisa.tensor_scalar(dst, a, nl.add, 0.1), (1, 1), "float32", np.zeros((1, 1), np.float32)
    )
    assert got == np.float32(0.1)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (nl.abs, np.abs),
        (nl.square, np.square),
        (nl.relu, lambda x: np.maximum(x, 0)),
        (nl.rsqrt, lambda x: 1 / np.sqrt(x.astype(np.float64))),
        (nl.reciprocal, lambda x: 1 / x.astype(np.float64)),
    ],
)
@pytest.mark.parametrize("operand", [None, 0, 0.0])
def test_unary_operators_take_no_operand(trn2, op, expected, operand):
    data = np.abs(random_values((5, 7))) + 0.1 if op is nl.rsqrt else random_values((5, 7))
    got = trn2.compute(lambda dst, a: nisa.tensor_scalar(dst, a, op, operand), (5, 7), "float32", data)
    np.testing.assert_allclose(got, expected(data), rtol=1e-6)


def test_bit_operations_are_on_raw_integers(trn2):
    data = random_values((5, 7), np.int32)

    def body(dst, a):
        nisa.tensor_scalar(dst, a, nl.right_shift, 4, op1=nl.bitwise_and, operand1=0xFF)

    got = trn2.compute(body, (5, 7), "int32", data)
    np.testing.assert_array_equal(got, (data.view(np.uint32) >> 4).astype(np.int32) & 0xFF)
    inverted = trn2.compute(lambda dst, a: nisa.tensor_scalar(dst, a, nl.invert, None), (5, 7), "int32", data)
    np.testing.assert_array_equal(inverted, ~data)


def test_a_bit_operation_takes_an_integer_column(trn2):
    data, mask = random_values((5, 7), np.uint8), random_values((5, 1), np.uint8, seed=1)
    got = trn2.compute(lambda dst, a, b: nisa.tensor_scalar(dst, a, nl.bitwise_xor, b), (5, 7), "uint8", data, mask)
    np.testing.assert_array_equal(got, data ^ mask)


@pytest.mark.parametrize("value", [1.0, 256, -1])
def test_refuses_a_number_that_is_no_bit_pattern_of_the_data(trn2, refuses, value):
    def body(value):
        call(dst=tile((4, 6), "uint8"), data=tile((4, 6), "uint8"), op0=nl.bitwise_and, operand0=value)

    trn2.attempt(lambda: body(255))
    with refuses(ArgumentError, "NKI101", repr(value)):
        trn2.attempt(lambda: body(value))


def test_refuses_bit_operations_on_floats(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: call(op0=nl.bitwise_and, operand0=1))
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(
            lambda: call(dst=tile((4, 6), "int8"), data=tile((4, 6), "int8"), op0=nl.left_shift, operand0=tile((4, 1)))
        )


def test_refuses_to_mix_bit_and_arithmetic_operations(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "nl.bitwise_and and nl.add"):
        trn2.attempt(lambda: call(op0=nl.bitwise_and, operand0=1, op1=nl.add, operand1=1))


@pytest.mark.parametrize(
    ("arguments", "actual"),
    [
        ({"operand0": None}, "None"),
        ({"operand1": 3.0}, "operand1=3.0"),
        ({"reverse1": True}, "reverse1=True"),
        ({"op1": nl.add}, "None"),
        ({"op0": nl.abs, "operand0": 1.0}, "operand 1.0"),
        ({"op0": nl.abs, "operand0": None, "reverse0": True}, "reverse True"),
        ({"op0": nl.silu, "operand0": None}, "nl.silu"),
        ({"op1": "add", "operand1": 1.0}, "'add'"),
        ({"operand0": "2"}, "str"),
        ({"operand0": np.ones(6, np.float32)}, "ndarray"),
    ],
)
def test_refuses_arguments_that_make_no_sense_or_no_difference(trn2, refuses, arguments, actual):
    trn2.attempt(call)
    with refuses(ArgumentError, "NKI101", actual):
        trn2.attempt(lambda: call(**arguments))


def test_a_numpy_number_is_a_number(trn2):
    trn2.attempt(lambda: call(operand0=np.float32(2), op1=nl.add, operand1=np.int64(1)))


@pytest.mark.parametrize("shape", [(4, 2), (5, 1), (4, 6)])
def test_refuses_an_operand_that_is_not_one_element_a_partition(trn2, refuses, shape):
    trn2.attempt(lambda: call(operand0=tile((4, 1))))
    trn2.attempt(lambda: call(operand0=psum((4, 1, 1))))
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: call(operand0=tile(shape)))


@pytest.mark.parametrize("dtype", ["bfloat16", "int32"])
def test_refuses_an_arithmetic_column_that_is_not_float32(trn2, refuses, dtype):
    with refuses(DtypeError, "NKI103", dtype):
        trn2.attempt(lambda: call(operand0=tile((4, 1), dtype)))


def test_refuses_operands_in_hbm(trn2, refuses):
    for arguments in (lambda: {"operand0": hbm((4, 1))}, lambda: {"data": hbm((4, 6))}, lambda: {"dst": hbm((4, 6))}):
        with refuses(BufferRuleError, "NKI104", "private_hbm"):
            trn2.attempt(lambda arguments=arguments: call(**arguments()))


def test_refuses_another_size(trn2, refuses):
    with refuses(ShapeError, "NKI102", "(4, 7) against (4, 6)"):
        trn2.attempt(lambda: call(dst=tile((4, 7))))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: call(dst=tile((4, 1)).broadcast(1, 6)))


@pytest.mark.parametrize(
    "ops", [(nl.multiply, nl.add), (nl.multiply, None), (nl.add, None)]
)  # fmt: skip
def test_the_scalar_engine_multiplies_and_adds(trn2, refuses, ops):
    operand1 = None if ops[1] is None else 1.0
    trn2.attempt(lambda: call(op0=ops[0], op1=ops[1], operand1=operand1, engine=SCALAR))
    for other in ((nl.add, nl.multiply), (nl.subtract, None), (nl.maximum, None)):
        with refuses(EngineError, "NKI105", f"{other[0].name}"):
            trn2.attempt(
                lambda other=other: call(
                    op0=other[0], op1=other[1], operand1=None if other[1] is None else 1.0, engine=SCALAR
                )
            )


def test_gpsimd_is_for_rsqrt(trn2, refuses):
    trn2.attempt(lambda: call(op0=nl.rsqrt, operand0=None, engine=GPSIMD))
    with refuses(EngineError, "NKI105", "multiply"):
        trn2.attempt(lambda: call(engine=GPSIMD))
    with refuses(EngineError, "NKI105", "dma"):
        trn2.attempt(lambda: call(engine=nisa.engine.dma))
    with refuses(BufferRuleError, "NKI104", "data is in PSUM"):
        trn2.attempt(lambda: call(data=psum((4, 6)), op0=nl.rsqrt, operand0=None, engine=GPSIMD))
    with refuses(BufferRuleError, "NKI104", "an operand is in PSUM"):
        trn2.attempt(lambda: call(op0=nl.power, operand0=psum((4, 1))))


def test_refuses_packed_tiles(trn3, refuses):
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn3.attempt(lambda: call(data=tile((4, 6), "float8_e5m2_x4")))


def test_the_event_names_the_operations(trn2):
    event = trn2.attempt(lambda: call(op1=nl.add, operand1=1.0, name="scale"))[-1]
    assert (event.engine, event.details["ops"], event.name) == ("vector", ("multiply", "add"), "scale")
