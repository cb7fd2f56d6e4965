"""`downcast_to_static_fp8` is x / scale, to the nearest e4m3, saturated."""

import ml_dtypes
import numpy as np
import pytest
from support.row_cases import DTYPES

from nkimoe import InputError, RequestError
from nkimoe.ops import downcast_to_static_fp8
from nkimoe.reference.row_quantisation import static_codes_reference
from nkimoe.reference.row_tolerance import MOST_CODES_APART, MOST_UNEQUAL_CODES, code_distance
from nkisim import Simulator

SHAPES = [(1, 1), (0, 5), (300, 9000), (3, 50, 70), (129, 3)]
X, SCALE = np.ones((4, 6), ml_dtypes.bfloat16), np.ones(1, np.float32)


def on(target, *given, **options):
    return Simulator(target, 2).run(downcast_to_static_fp8, *given, **options).outputs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.01, 0.0371])
@pytest.mark.parametrize(("target", "codes"), [("trn2", "float8_e4m3"), ("trn3", "float8_e4m3fn")])
def test_codes_are_those_of_the_definition_but_for_a_few(target, codes, scale, shape, dtype):
    x = (np.random.default_rng(0).standard_normal(shape) * 3).astype(DTYPES[dtype])
    found, expected = on(target, x, np.full(1, scale, np.float32)), static_codes_reference(x, scale, codes)
    assert (found.dtype, found.shape) == (expected.dtype, shape)
    apart = code_distance(found, expected)
    assert apart.max(initial=0) <= MOST_CODES_APART
    assert np.count_nonzero(apart) <= max(1, MOST_UNEQUAL_CODES * apart.size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_a_power_of_two_all_codes_are_equal_ties_and_overflows_included(dtype):
    x = np.arange(-4096, 4097).reshape(1, -1).astype(DTYPES[dtype]) / 8
    x = np.vstack([x, x / 64, x * 64])
    expected = static_codes_reference(x, 0.5, "float8_e4m3")
    found = on("trn2", x, np.full((1, 1), 0.5, np.float32))
    np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
    assert np.abs(found.astype(np.float32)).max() == 240


def test_the_type_may_be_named():
    assert on("trn3", X, SCALE, out="float8_e4m3").dtype == ml_dtypes.float8_e4m3


def test_torch_gives_torch():
    torch = pytest.importorskip("torch")
    x = torch.ones(4, 6, dtype=torch.bfloat16)
    found = on("trn3", x, torch.ones(1))
    assert found.dtype == torch.float8_e4m3fn
    assert (found.float() == 1).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": X[0]}, r"x: is \[M, N\] or \[E, M, N\], N of 1 or more; got \(6,\)"),
        ({"x": X[:, :0]}, r"x: is \[M, N\] .* got \(4, 0\)"),
        ({"x": X.astype(np.int8)}, "x: is bfloat16, float16, float32; got int8"),
        ({"scale": np.ones(2, np.float32)}, "scale: is float32, one number"),
        ({"scale": np.ones(1, np.float16)}, "scale: is float32, one number"),
        ({"scale": 1.0}, "scale: is a NumPy array or a torch tensor; got float"),
        ({"out": "int8"}, "out: is one of fp8, float8_e4m3 on trn2; got 'int8'"),
        ({"out": "float8_e4m3fn"}, "out: is one of fp8, float8_e4m3 on trn2"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_what_cannot_be_quantised_is_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        on("trn2", **{"x": X, "scale": SCALE} | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": X * np.float32(np.nan)}, "x: is finite"),
        ({"scale": SCALE * np.inf}, "scale: is finite"),
        ({"scale": SCALE * 0}, "scale: is positive"),
        ({"scale": -SCALE}, "scale: is positive"),
    ],
    ids=["nan", "infinite scale", "zero", "negative"],
)
def test_values_that_mean_nothing_are_refused(changed, said):
    given = {"x": X, "scale": SCALE} | changed
    given["x"] = given["x"].astype(ml_dtypes.bfloat16)
    with pytest.raises(InputError, match=said):
        on("trn2", **given)
