"""Every function of tiles against NumPy, on sizes no loop divides."""

import math

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, EngineError, NotSimulated, ShapeError, TargetError

SHAPE = (37, 29)
X = random_values(SHAPE, seed=1) * 3
Y = random_values(SHAPE, seed=2) * 2
POSITIVE = np.abs(X) + np.float32(0.5)
INTEGERS = random_values(SHAPE, np.int32, seed=3)
SHIFTS = np.random.default_rng(4).integers(0, 31, SHAPE).astype(np.int32)
BITS = np.random.default_rng(5).integers(0, 2, SHAPE).astype(np.float32)
ERF = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def softplus(x):
    return np.logaddexp(x.astype(np.float64), 0)


UNARY = {
    "abs": (X, np.abs),
    "square": (X, np.square),
    "exp": (X, np.exp),
    "log": (POSITIVE, np.log),
    "sqrt": (POSITIVE, np.sqrt),
    "rsqrt": (POSITIVE, lambda x: 1 / np.sqrt(x)),
    "tanh": (X, np.tanh),
    "sigmoid": (X, sigmoid),
    "relu": (X, lambda x: np.maximum(x, 0)),
    "gelu": (X, lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2),
    "gelu_apprx_sigmoid": (X, lambda x: x * sigmoid(1.702 * x)),
    "gelu_apprx_tanh": (X, lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "gelu_dx": (
        X,
        lambda x: (1 + ERF(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_apprx_sigmoid_dx": (
        X,
        lambda x: sigmoid(1.702 * x) + 1.702 * x * sigmoid(1.702 * x) * (1 - sigmoid(1.702 * x)),
    ),
    "silu": (X, lambda x: x * sigmoid(x)),
    "silu_dx": (X, lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "softplus": (X, softplus),
    "mish": (X, lambda x: x * np.tanh(softplus(x))),
    "erf": (X, ERF),
    "erf_dx": (X, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
    "reciprocal": (POSITIVE, np.reciprocal),
    "copy": (X, lambda x: x),
    "sin": (X * 30, np.sin),
    "cos": (X * 30, np.cos),
    "tan": (X / 6, np.tan),
    "arctan": (X / 10, np.arctan),
    "ceil": (X, np.ceil),
    "floor": (X, np.floor),
    "trunc": (X, np.trunc),
    "negative": (X, np.negative),
    "sign": (X, np.sign),
    "logical_not": (BITS, np.logical_not),
    "invert": (INTEGERS, np.invert),
}

BINARY = {
    "add": (X, Y, np.add),
    "subtract": (X, Y, np.subtract),
    "multiply": (X, Y, np.multiply),
    "maximum": (X, Y, np.maximum),
    "minimum": (X, Y, np.minimum),
    "power": (POSITIVE, Y, np.power),
    "equal": (BITS, BITS.T.reshape(SHAPE), np.equal),
    "not_equal": (BITS, BITS.T.reshape(SHAPE), np.not_equal),
    "less": (X, Y, np.less),
    "less_equal": (X, Y, np.less_equal),
    "greater": (X, Y, np.greater),
    "greater_equal": (X, Y, np.greater_equal),
    "logical_and": (BITS, BITS.T.reshape(SHAPE), np.logical_and),
    "logical_or": (BITS, BITS.T.reshape(SHAPE), np.logical_or),
    "logical_xor": (BITS, BITS.T.reshape(SHAPE), np.logical_xor),
    "bitwise_and": (INTEGERS, SHIFTS, np.bitwise_and),
    "bitwise_or": (INTEGERS, SHIFTS, np.bitwise_or),
    "bitwise_xor": (INTEGERS, SHIFTS, np.bitwise_xor),
    "left_shift": (INTEGERS, SHIFTS, np.left_shift),
    "right_shift": (INTEGERS, SHIFTS, lambda x, y: (x.view(np.uint32) >> y.view(np.uint32)).view(np.int32)),
    "fmod": (X * 5, Y, np.fmod),
    "mod": (X * 5, Y, np.mod),
}

REDUCTIONS = {"sum": np.sum, "max": np.max, "min": np.min, "mean": np.mean, "prod": np.prod}


def close(actual, expected, **bounds):
    np.testing.assert_allclose(
        actual.astype(np.float64), np.asarray(expected, np.float64), **{"rtol": 2e-5, "atol": 2e-5, **bounds}
    )


def on_tiles(device, function, *arrays):
    """What `function` of the loaded arrays gives."""

    def kernel(*inputs):
        result = function(*(nl.load(array) for array in inputs))
        if nl.is_psum(result.buffer):
            nisa.tensor_copy(in_sbuf := nl.ndarray(result.shape, result.dtype), result)
            return store(in_sbuf)
        return store(result)

    return device.outputs(kernel, *arrays)


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_one_tile_is_the_one_of_numpy(trn2, name):
    x, expected = UNARY[name]
    close(on_tiles(trn2, getattr(nl, name), x), expected(x))


@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two_tiles_is_the_one_of_numpy(trn2, name):
    x, y, expected = BINARY[name]
    close(on_tiles(trn2, getattr(nl, name), x, y), expected(x, y), atol=1e-4)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "maximum", "less", "fmod", "mod"])
def test_either_operand_may_be_a_number(trn2, name):
    x, expected = POSITIVE, getattr(np, name)
    close(on_tiles(trn2, lambda t: getattr(nl, name)(t, 1.75), x), expected(x, np.float32(1.75)), atol=1e-4)
    close(on_tiles(trn2, lambda t: getattr(nl, name)(1.75, t), x), expected(np.float32(1.75), x), atol=1e-4)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("number", [None, 1.75])
def test_a_quotient_is_refused_and_where_that_is_only_reported_is_right(trn2, refuses, number, flip):
    def kernel(a, b):
        x, y = nl.load(a), nl.load(b) if number is None else number
        return store(nl.divide(y, x) if flip else nl.divide(x, y))

    x, y = POSITIVE, np.abs(Y) + 1 if number is None else number
    run = trn2.run(kernel, x, np.abs(Y) + 1, report_only=True)
    close(run.outputs, y / x if flip else x / y)
    assert [finding.code for finding in run.findings] == ["NKI105"]
    with refuses(EngineError, "NKI105", "/"):
        trn2.run(kernel, x, np.abs(Y) + 1)
    close(on_tiles(trn2, lambda t: nl.multiply(t, nl.reciprocal(t)), x), np.ones_like(x))


@pytest.mark.parametrize("shape", [(37, 1), (1, 29), (1, 1)])
def test_tiles_broadcast_like_arrays(trn2, shape):
    small = random_values(shape, seed=6)
    close(on_tiles(trn2, nl.add, X, small), X + small)
    close(on_tiles(trn2, nl.subtract, small, X), small - X)


@pytest.mark.parametrize("name", ["abs_max", "abs_min"])
def test_the_larger_and_smaller_by_magnitude_keep_their_sign(trn3, name):
    chosen = np.abs(X) > np.abs(Y) if name == "abs_max" else np.abs(X) < np.abs(Y)
    np.testing.assert_array_equal(on_tiles(trn3, getattr(nl, name), X, Y), np.where(chosen, X, Y))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [2, -1, (1, 2), [1, 2]])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_reduction_is_the_one_of_numpy(trn2, name, axis, keepdims):
    x = random_values((19, 3, 7), seed=7)
    numpy_axis = tuple(axis) if isinstance(axis, list) else axis
    expected = REDUCTIONS[name](x, axis=numpy_axis, keepdims=keepdims)
    actual = on_tiles(trn2, lambda t: getattr(nl, name)(t, axis, keepdims=keepdims), x)
    close(actual, expected.reshape(-1, 1) if expected.ndim == 1 else expected)


def test_variance_keeps_the_reduced_dimension(trn2):
    close(on_tiles(trn2, lambda t: nl.var(t, 1), X), X.var(axis=1, keepdims=True))


def test_all_is_one_where_no_element_is_zero(trn2):
    x = np.where(np.arange(37 * 29).reshape(SHAPE) % 31 == 0, 0, X).astype(np.float32)
    close(on_tiles(trn2, lambda t: nl.all(t, 1), x), x.all(axis=1, keepdims=True))


def test_softmax_sums_to_one_over_its_axis(trn2):
    powers = np.exp(X - X.max(axis=1, keepdims=True))
    close(on_tiles(trn2, nl.softmax, X), powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("rows", [1, 37])
def test_rms_norm_takes_weights_for_each_row_or_for_all(trn2, rows):
    w = random_values((rows, 29), seed=8)
    expected = X / np.sqrt(np.square(X).mean(axis=1, keepdims=True) + 1e-3) * w
    close(on_tiles(trn2, lambda x, w: nl.rms_norm(x, w, 1, 29, epsilon=1e-3), X, w), expected)


def test_where_chooses_between_tiles_and_numbers(trn2):
    np.testing.assert_array_equal(on_tiles(trn2, nl.where, BITS, X, Y), np.where(BITS != 0, X, Y))
    np.testing.assert_array_equal(on_tiles(trn2, lambda c, x: nl.where(c, x, 2.5), BITS, X), np.where(BITS, X, 2.5))
    np.testing.assert_array_equal(on_tiles(trn2, lambda c, y: nl.where(c, 2.5, y), BITS, Y), np.where(BITS, 2.5, Y))


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_matmul_contracts_the_free_dimension_of_x(trn2, dtype):
    x, y = random_values((37, 61), dtype, 9), random_values((61, 130), dtype, 10)
    expected = x.astype(np.float64) @ y.astype(np.float64)
    close(on_tiles(trn2, nl.matmul, x, y), expected, atol=1e-4)
    transposed = np.ascontiguousarray(x.T)
    close(on_tiles(trn2, lambda x, y: nl.matmul(x, y, transpose_x=True), transposed, y), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, ml_dtypes.bfloat16])
def test_transposes_are_exact(trn2, dtype):
    x = random_values(SHAPE, dtype, 11)
    np.testing.assert_array_equal(on_tiles(trn2, nl.transpose, x), x.T)
    np.testing.assert_array_equal(trn2.outputs(lambda a: store(nl.load_transpose2d(a)), x), x.T)


def test_shapes_change_in_views_and_copies(trn2):
    np.testing.assert_array_equal(on_tiles(trn2, lambda t: nl.expand_dims(t, 1), X), X[:, None])
    np.testing.assert_array_equal(on_tiles(trn2, lambda t: nl.expand_dims(t, -1), X), X[..., None])
    row = X[:1].copy()
    np.testing.assert_array_equal(
        on_tiles(trn2, lambda t: nl.broadcast_to(t, (37, 29)), row), np.broadcast_to(row, SHAPE)
    )


def test_rounding_leaves_large_numbers_alone(trn2):
    x = np.array([[3e9, -3e9, 2.0**23 + 1, 1e38, np.inf, -np.inf, 0.5, -0.5]], np.float32)
    for name in ("floor", "ceil", "trunc"):
        np.testing.assert_array_equal(on_tiles(trn2, getattr(nl, name), x), getattr(np, name)(x))


def test_dtype_casts_the_result_and_the_first_tile_decides_without_it(trn2):
    assert on_tiles(trn2, lambda x, y: nl.add(x, y, dtype=nl.bfloat16), X, Y).dtype == ml_dtypes.bfloat16
    assert on_tiles(trn2, nl.add, X.astype(ml_dtypes.bfloat16), Y).dtype == ml_dtypes.bfloat16
    assert on_tiles(trn2, lambda x: nl.less(x, 0, dtype=nl.uint8), X).dtype == np.uint8


REFUSED = [
    (lambda: nl.exp(hbm((2, 2))), ArgumentError, "NKI101"),
    (lambda: nl.exp(2.0), ArgumentError, "NKI101"),
    (lambda: nl.add(1, 2), ArgumentError, "NKI101"),
    (lambda: nl.add(tile((2, 2)), hbm((2, 2))), ArgumentError, "NKI101"),
    (lambda: nl.add(tile((2, 3)), tile((2, 4))), ShapeError, "NKI102"),
    (lambda: nl.add(tile((2, 3)), tile((2, 3, 1))), ShapeError, "NKI102"),
    (lambda: nl.bitwise_and(tile((2, 2), "int32"), tile((2, 2), "uint8")), DtypeError, "NKI103"),
    (lambda: nl.sum(tile((2, 3, 4)), 1), ShapeError, "NKI102"),
    (lambda: nl.sum(tile((2, 3)), 0), ShapeError, "NKI102"),
    (lambda: nl.softmax(tile((2, 3, 4)), (1,)), ShapeError, "NKI102"),
    (lambda: nl.transpose(tile((2, 3, 4))), ShapeError, "NKI102"),
    (lambda: nl.matmul(tile((2, 3, 4)), tile((2, 3))), ShapeError, "NKI102"),
    (lambda: nl.broadcast_to(tile((2, 3)), (2, 6)), ShapeError, "NKI102"),
    (lambda: nl.broadcast_to(tile((2, 1)), (2, 1, 6)), ShapeError, "NKI102"),
    (lambda: nl.load_transpose2d(tile((2, 3))), BufferRuleError, "NKI104"),
    (lambda: nl.load_transpose2d(hbm((2, 3, 4))), ShapeError, "NKI102"),
    (lambda: nl.gather_flattened(tile((2, 3)), tile((4, 3), "uint32")), ShapeError, "NKI102"),
    (lambda: nl.gather_flattened(tile((2, 3)), tile((2, 3), "uint32"), axis=1), NotSimulated, "NKI001"),
    (lambda: nl.abs_max(tile((2, 2)), 1.0), TargetError, "NKI106"),
    (lambda: nl.abs_min(tile((2, 2)), 1.0), TargetError, "NKI106"),
    (lambda: nl.rsqrt(tile((2, 2), buffer=nl.psum)), BufferRuleError, "NKI104"),
]


@pytest.mark.parametrize(("call", "error", "code"), REFUSED)
def test_refuses_what_no_tile_function_takes(trn2, refuses, call, error, code):
    with refuses(error, code):
        trn2.attempt(call)


def test_random_numbers_repeat_with_their_seed_and_stay_below_one(trn2):
    def kernel(seed):
        tiles = []
        for _ in range(2):
            nl.random_seed(nl.load(seed))
            tiles.append(store(nl.rand((37, 29), nl.float32)))
        return (*tiles, nl.rand((150, 3), nl.float32, buffer=nl.shared_hbm))

    first, second, large = trn2.outputs(kernel, np.array([[42]], np.int32))
    np.testing.assert_array_equal(first, second)
    for values in (first, large):
        assert ((values >= 0) & (values < 1)).all()
        assert 0.4 < values.mean() < 0.6


def test_gathers_within_each_partition(trn2):
    indices = np.random.default_rng(12).integers(0, 29, (37, 11)).astype(np.uint32)
    np.testing.assert_array_equal(
        on_tiles(trn2, nl.gather_flattened, X, indices), np.take_along_axis(X, indices.astype(np.int64), 1)
    )


def test_dropout_drops_all_or_nothing_at_the_ends(trn2):
    np.testing.assert_array_equal(on_tiles(trn2, lambda x: nl.dropout(x, 0.0), X), X)
    np.testing.assert_array_equal(on_tiles(trn2, lambda x: nl.dropout(x, 1.0), X), 0)
