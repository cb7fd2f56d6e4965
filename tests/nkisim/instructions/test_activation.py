"""activation: functions of data * scale + bias."""

import math

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, ShapeError

ERF = np.vectorize(math.erf)
FUNCTIONS = {
    "copy": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "square": lambda x: x * x,
    "abs": abs,
    "sign": np.sign,
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "silu_dx": lambda x: (1 + np.exp(-x) * (1 + x)) / (1 + np.exp(-x)) ** 2,
    "gelu": lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2))),
    "gelu_apprx_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_apprx_sigmoid": lambda x: x / (1 + np.exp(-1.702 * x)),
    "erf": ERF,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "reciprocal": lambda x: 1 / x,
}
POSITIVE = {"log": np.log, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x)}


def call(**arguments):
    """One activation of zeros."""
    dst, data = arguments.pop("dst", None), arguments.pop("data", None)
    nisa.activation(
        tile((4, 6)) if dst is None else dst, arguments.pop("op", nl.silu), tile((4, 6)) if data is None else data,
        **arguments,
    )  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_computes_the_function(trn2, name):
    data = random_values((7, 33)) * 3
    got = trn2.compute(lambda dst, a: nisa.activation(dst, getattr(nl, name), a), (7, 33), "float32", data)
    np.testing.assert_allclose(got, FUNCTIONS[name](data.astype(np.float64)), rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("name", POSITIVE)
def test_computes_the_functions_of_positive_numbers(trn2, name):
    data = np.abs(random_values((7, 33))) + 0.01
    got = trn2.compute(lambda dst, a: nisa.activation(dst, getattr(nl, name), a), (7, 33), "float32", data)
    np.testing.assert_allclose(got, POSITIVE[name](data.astype(np.float64)), rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [None, 2.5, "column"])
@pytest.mark.parametrize("bias", [None, 0.0, -1.25, "column"])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_scales_and_shifts_before_the_function(trn2, scale, bias, dtype):
    data, columns = random_values((5, 9), dtype), random_values((2, 5, 1), seed=3)

    def body(dst, a, scales, biases):
        options = {}
        if scale is not None:
            options["scale"] = scales if scale == "column" else scale
        if bias is not None:
            options["bias"] = biases if bias == "column" else bias
        nisa.activation(dst, nl.exp, a, **options)

    got = trn2.compute(body, (5, 9), "float32", data, columns[0], columns[1])
    factor = {None: 1.0, "column": columns[0]}.get(scale, scale)
    shift = {None: 0.0, "column": columns[1]}.get(bias, bias)
    np.testing.assert_allclose(got, np.exp(data.astype(np.float64) * factor + shift), rtol=1e-5)


def test_a_bias_may_have_another_type(trn2):
    data, bias = random_values((5, 9)), random_values((5, 1), ml_dtypes.bfloat16)
    got = trn2.compute(lambda dst, a, b: nisa.activation(dst, nl.copy, a, bias=b), (5, 9), "float32", data, bias)
    np.testing.assert_array_equal(got, data + bias.astype(np.float32))


def test_extreme_inputs_neither_warn_nor_fail(trn2):
    data = np.array([[3e38, -3e38, np.inf, -np.inf, np.nan, 0]], np.float32)
    for name in (*FUNCTIONS, *POSITIVE):
        trn2.compute(
            lambda dst, a, n=name: nisa.activation(dst, getattr(nl, n), a, scale=10.0), (1, 6), "bfloat16", data
        )
    got = trn2.compute(lambda dst, a: nisa.activation(dst, nl.sigmoid, a), (1, 6), "float32", data)
    np.testing.assert_array_equal(got[0, :4], [1, 0, 1, 0])


@pytest.mark.parametrize("op", [nl.add, nl.power, "silu", None, np.exp, nl.bitwise_and])
def test_refuses_what_is_not_an_activation_function(trn2, refuses, op):
    with refuses(ArgumentError, "NKI101", repr(op)):
        trn2.attempt(lambda: call(op=op))


def test_refuses_a_scale_that_is_not_float32(trn2, refuses):
    trn2.attempt(lambda: call(scale=tile((4, 1)), bias=tile((4, 1), "int32")))
    with refuses(DtypeError, "NKI103", "bfloat16"):
        trn2.attempt(lambda: call(scale=tile((4, 1), "bfloat16")))
    with refuses(DtypeError, "NKI103", "tfloat32"):
        trn2.attempt(lambda: call(bias=tile((4, 1), "tfloat32")))


@pytest.mark.parametrize("operand", ["scale", "bias"])
@pytest.mark.parametrize("shape", [(3, 1), (4, 2)])
def test_refuses_a_scale_or_bias_of_another_shape(trn2, refuses, operand, shape):
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: call(**{operand: tile(shape)}))


def test_refuses_tiles_of_unequal_size_or_outside_the_chip(trn2, refuses):
    trn2.attempt(lambda: call(dst=psum((4, 6)), data=psum((4, 2, 3))))
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn2.attempt(lambda: call(dst=tile((4, 5))))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: call(data=hbm((4, 6))))
    with refuses(DtypeError, "NKI103", "float8_e5m2_x4"):
        trn2.attempt(lambda: call(data=tile((4, 6), "float8_e5m2_x4")))
    with refuses(ShapeError, "NKI102", "strides"):
        trn2.attempt(lambda: call(dst=tile((4, 1)).broadcast(1, 6)))


def test_runs_on_the_scalar_engine(trn2):
    event = trn2.attempt(lambda: call(op=nl.gelu))[-1]
    assert (event.engine, event.details, event.work.elements) == ("scalar", {"op": "gelu"}, 6)
