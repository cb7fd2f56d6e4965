"""scalar_tensor_tensor: an operation with a number or column, then one with a tile."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError


def call(dst=None, data=None, op0=nl.multiply, operand0=2.0, op1=nl.add, operand1=None, **options):
    """One instruction on zeros."""
    tiles = [tile((4, 6)) if t is None else t for t in (dst, data, operand1)]
    nisa.scalar_tensor_tensor(tiles[0], tiles[1], op0, operand0, op1, tiles[2], **options)


@pytest.mark.parametrize("reverse0", [False, True])
@pytest.mark.parametrize("reverse1", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_applies_two_operations_in_order(trn2, reverse0, reverse1, column):
    data, other = random_values((7, 11), ml_dtypes.bfloat16), random_values((7, 11), seed=1)
    scale = random_values((7, 1), ml_dtypes.bfloat16, seed=2)

    def body(dst, a, b, c):
        nisa.scalar_tensor_tensor(dst, a, nl.subtract, c if column else 1.5, nl.subtract, b, reverse0, reverse1)

    left, right = data.astype(np.float32), scale.astype(np.float32) if column else np.float32(1.5)
    middle = right - left if reverse0 else left - right
    expected = other - middle if reverse1 else middle - other
    np.testing.assert_array_equal(trn2.compute(body, (7, 11), "float32", data, other, scale), expected)


def test_shapes_may_differ_within_a_partition(trn2):
    data, other = random_values((3, 2, 6)), random_values((3, 12), seed=1)

    def body(dst, a, b):
        nisa.scalar_tensor_tensor(dst, a, nl.multiply, 2.0, nl.add, b)

    got = trn2.compute(body, (3, 4, 3), "float32", data, other)
    np.testing.assert_array_equal(got.reshape(3, 12), data.reshape(3, 12) * 2 + other)


@pytest.mark.parametrize("arguments", [{"op0": nl.abs}, {"op1": nl.relu}, {"op0": "add"}, {"op1": nl.silu}])
def test_refuses_operators_that_are_not_binary(trn2, refuses, arguments):
    trn2.attempt(call)
    with refuses(ArgumentError, "NKI101", repr(next(iter(arguments.values())))):
        trn2.attempt(lambda: call(**arguments))


def test_refuses_bit_operators(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "nl.bitwise_and, nl.add"):
        trn2.attempt(lambda: call(op0=nl.bitwise_and))


def test_refuses_two_tiles_in_psum(trn2, refuses):
    trn2.attempt(lambda: call(data=psum((4, 6)), dst=psum((4, 6)), operand0=psum((4, 1))))
    with refuses(BufferRuleError, "NKI104", "both are"):
        trn2.attempt(lambda: call(data=psum((4, 6)), operand1=psum((4, 6))))


def test_refuses_tiles_that_do_not_fit(trn2, refuses):
    with refuses(ShapeError, "NKI102", "(4, 5) against (4, 6)"):
        trn2.attempt(lambda: call(operand1=tile((4, 5))))
    with refuses(ShapeError, "NKI102", "(3, 1)"):
        trn2.attempt(lambda: call(operand0=tile((3, 1))))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: call(operand1=tile((4, 6), "float8_e5m2_x4")))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: call(dst=tile((4, 1)).broadcast(1, 6)))


def test_refuses_a_number_as_the_tile(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "float"):
        trn2.attempt(lambda: call(operand1=1.0))
