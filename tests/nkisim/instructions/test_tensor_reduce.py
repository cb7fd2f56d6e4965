"""tensor_reduce: the last free dimensions, by every legal operator."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError

REDUCTIONS = {
    "add": lambda x: x.sum(-1),
    "subtract": lambda x: x[..., 0] - x[..., 1:].sum(-1),
    "multiply": lambda x: x.prod(-1),
    "maximum": lambda x: x.max(-1),
    "minimum": lambda x: x.min(-1),
    "logical_and": lambda x: (x != 0).all(-1),
    "logical_or": lambda x: (x != 0).any(-1),
    "logical_xor": lambda x: (x != 0).sum(-1) % 2,
}


def call(shape, axis, dst, op=nl.add, **options):
    """Reduce zeros."""
    nisa.tensor_reduce(tile(dst), op, tile(shape), axis, **options)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
@pytest.mark.parametrize("width", [1, 2, 13])
def test_reduces_a_free_dimension(trn2, name, dtype, width):
    data = random_values((7, width), dtype)
    data[:3, :2] = 0
    got = trn2.compute(lambda dst, a: nisa.tensor_reduce(dst, getattr(nl, name), a, 1), (7, 1), "float32", data)
    expected = REDUCTIONS[name](data.astype(np.float64))
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("axis", "flat", "shape"),
    [
        (-1, 5, (7, 3, 4)),
        (3, 5, (7, 3, 4)),
        ((2, 3), 20, (7, 3)),
        ([3, 2], 20, (7, 3)),
        ((-2, -1), 20, (7, 3, 1, 1)),
        ((1, 2, 3), 60, (7, 1)),
    ],
)
def test_reduces_the_last_dimensions_named_in_any_way(trn2, axis, flat, shape):
    data = random_values((7, 3, 4, 5))
    got = trn2.compute(
        lambda dst, a: nisa.tensor_reduce(dst, nl.maximum, a, axis, keepdims=True), shape, "float32", data
    )
    np.testing.assert_array_equal(got.reshape(7, -1), data.reshape(7, -1, flat).max(-1))


def test_negates_on_request(trn2):
    data = random_values((7, 13))
    got = trn2.compute(lambda dst, a: nisa.tensor_reduce(dst, nl.minimum, a, 1, negate=True), (7, 1), "bfloat16", data)
    np.testing.assert_array_equal(got[:, 0], -data.min(-1).astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    ("name", "ufunc"), [("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_reduces_bits(trn2, name, ufunc, dtype):
    data = random_values((7, 13), dtype)

    def body(dst, a):
        nisa.tensor_reduce(dst, getattr(nl, name), a, 1)

    got = trn2.compute(body, (7, 1), dtype_of(dtype), data)
    np.testing.assert_array_equal(got[:, 0], ufunc.reduce(data, axis=1))


def test_a_permuted_view_reduces_another_dimension(trn2):
    data = random_values((7, 3, 5))
    got = trn2.compute(
        lambda dst, a: nisa.tensor_reduce(dst, nl.maximum, a.permute((0, 2, 1)), 2), (7, 5), "float32", data
    )
    np.testing.assert_array_equal(got, data.max(1))


@pytest.mark.parametrize("axis", [0, 1, (0, 1, 2), (1,), (2, 2), 3, -4, ()])
def test_refuses_dimensions_that_are_not_the_last_free_ones(trn2, refuses, axis):
    trn2.attempt(lambda: call((4, 3, 5), (1, 2), (4, 1)))
    with refuses(ShapeError, "NKI102", f"axis {axis} of shape (4, 3, 5)"):
        trn2.attempt(lambda: call((4, 3, 5), axis, (4, 1)))


@pytest.mark.parametrize("dst", [(4, 5), (4, 2), (2, 6), (3, 3)])
def test_refuses_a_destination_of_another_size(trn2, refuses, dst):
    trn2.attempt(lambda: call((4, 3, 5), 2, (4, 3, 1), keepdims=True))
    with refuses(ShapeError, "NKI102", f"{dst} for (4, 3, 5)"):
        trn2.attempt(lambda: call((4, 3, 5), 2, dst))


@pytest.mark.parametrize("op", [nl.left_shift, nl.equal, nl.power])
def test_refuses_operators_that_are_no_reductions(trn2, refuses, op):
    with refuses(ArgumentError, "NKI101", repr(op)):
        trn2.attempt(lambda: call((4, 3), 1, (4, 1), op))


@pytest.mark.parametrize("op", [nl.abs, nl.exp, "add"])
def test_refuses_what_is_not_a_binary_operator(trn2, refuses, op):
    with refuses(ArgumentError, "NKI101", repr(op)):
        trn2.attempt(lambda: call((4, 3), 1, (4, 1), op))


def test_refuses_to_negate_bits(trn2, refuses):
    def body(negate):
        nisa.tensor_reduce(tile((4, 1), "int8"), nl.bitwise_or, tile((4, 3), "int8"), 1, negate)

    trn2.attempt(lambda: body(False))
    with refuses(ArgumentError, "NKI101", "negate with nl.bitwise_or"):
        trn2.attempt(lambda: body(True))


def test_refuses_bits_of_floats_packed_tiles_and_hbm(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: call((4, 3), 1, (4, 1), nl.bitwise_or))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: nisa.tensor_reduce(tile((4, 1)), nl.add, tile((4, 3), "float8_e5m2_x4"), 1))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: nisa.tensor_reduce(tile((4, 1)), nl.add, hbm((4, 3)), 1))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.tensor_reduce(tile((4, 1)).broadcast(1, 3), nl.add, tile((4, 3, 2)), 2))
    trn2.attempt(lambda: nisa.tensor_reduce(psum((4, 1)), nl.add, psum((4, 3)), 1))


def test_work_is_what_is_read(trn2):
    event = trn2.attempt(lambda: call((4, 3, 5), 2, (4, 3)))[-1]
    assert (event.engine, event.work.elements) == ("vector", 15)
