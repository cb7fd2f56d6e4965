"""What cannot be quantised is refused before a launch, by rule, value and what to do."""

import ml_dtypes
import numpy as np
import pytest

from nkimoe.errors import InputError, RequestError
from nkimoe.ops import moe_smoothquant, quantize_per_channel_int8, quantize_per_token_int8, smoothquant
from nkisim import Simulator

X = np.ones((4, 6), ml_dtypes.bfloat16)
SMOOTH = np.ones((3, 6), np.float32)
IDS = np.zeros((4, 2), np.int32)


@pytest.mark.parametrize(
    ("changed", "argument", "rule"),
    [
        ({"x": X[0]}, "x", r"is a tensor \[T, H\] or \[T, k, H\]; got \(6,\)"),
        ({"x": X.astype(np.int8)}, "x", "is bfloat16, float16, float32; got int8"),
        ({"x": np.ones((4, 0), np.float32)}, "x", "has a column or more"),
        ({"x": np.ones((4, 3, 6), np.float32)}, "x", r"has a row for each of the 2 choices; got \(4, 3, 6\)"),
        ({"smooth_scale": SMOOTH[0]}, "smooth_scale", r"is \[E, 6\]; got \(6,\)"),
        ({"smooth_scale": SMOOTH[:, :5]}, "smooth_scale", r"is \[E, 6\]; got \(3, 5\)"),
        ({"smooth_scale": SMOOTH.astype(np.float16)}, "smooth_scale", "is float32; got float16"),
        ({"topk_ids": IDS[:3]}, "topk_ids", r"are \[T, k\] with T = 4 .* got \(3, 2\)"),
        ({"topk_ids": IDS[:, :0]}, "topk_ids", r"are \[T, k\] with T = 4 .* got \(4, 0\)"),
        ({"topk_ids": IDS.astype(np.int16)}, "topk_ids", "are int32; got int16"),
        ({"topk_ids": np.zeros((4, 4), np.int32)}, "topk_ids", "name at most 3 experts a token; got k = 4"),
        ({"out": "int4"}, "out", "is one of int8, fp8, float8_e4m3 on trn2; got 'int4'"),
        ({"out": "float8_e4m3fn"}, "out", "on trn2"),
        ({"rounding": "nearest"}, "rounding", "is one of rne, trunc, away; got 'nearest'"),
        ({"rounding": None}, "rounding", "is a text; got None"),
        ({"rounding": "trunc", "out": "fp8"}, "rounding", "is rne for fp8 codes; got trunc"),
        ({"zero_row": "nan"}, "zero_row", "is one of eps, plus; got 'nan'"),
        ({"order": "expert_major"}, "order", "is one of topk_major, token_major"),
        ({"out_stride": 5}, "out_stride", "is an integer, H = 6 or more; got 5"),
        ({"out_stride": -1}, "out_stride", "is an integer, H = 6 or more; got -1"),
        ({"out_stride": 8.0}, "out_stride", "is an integer below .* or None; got 8.0"),
        ({"out_stride": True}, "out_stride", "got True"),
    ],
)
def test_a_bad_request_is_named(changed, argument, rule):
    with pytest.raises(RequestError, match=rule) as caught:
        Simulator("trn2").run(moe_smoothquant, **{"x": X, "smooth_scale": SMOOTH, "topk_ids": IDS} | changed)
    assert caught.value.argument == argument
    assert caught.value.fix


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "smooth_scale"])
def test_values_that_are_no_numbers_are_refused_by_tensor_and_place(name, bad):
    arguments = {"x": X.copy(), "smooth_scale": SMOOTH.copy()}
    arguments[name][2, 3] = bad
    with pytest.raises(InputError, match=rf"{name}: is finite; got .* at \(2, 3\)"):
        moe_smoothquant(**arguments, topk_ids=IDS)


def test_products_that_fp32_may_not_hold_are_refused():
    with pytest.raises(InputError, match=r"smooth_scale: gives products with x up to 2\*\*127; got 3e\+3[89]"):
        moe_smoothquant(X * 3e38, SMOOTH * 10, IDS)


def test_the_other_doors_name_their_arguments():
    with pytest.raises(RequestError, match=r"smooth_scale: is \[6\]; got \(3, 6\)"):
        smoothquant(X, SMOOTH)
    with pytest.raises(RequestError, match=r"x: is a tensor \[rows, H\]; got \(4, 1, 6\)"):
        quantize_per_token_int8(X.reshape(4, 1, 6))
    with pytest.raises(RequestError, match=r"w: is \[N, K\] or \[E, N, K\], none of them 0; got \(6,\)"):
        quantize_per_channel_int8(X[0])
    with pytest.raises(InputError, match="w: is finite"):
        quantize_per_channel_int8(np.full((2, 2), np.nan, np.float32))
