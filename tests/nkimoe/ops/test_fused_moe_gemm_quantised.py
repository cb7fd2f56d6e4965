"""`fused_moe_gemm` with quantised weights is what their codes and scales say."""

import ml_dtypes
import numpy as np
import pytest

from nkimoe.ops import fused_moe_gemm
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference
from tests.support.gemm_cases import BF16, FP16, check_gemm, drawn, int4_drawn, int8_drawn

SIZES = [(16, 64, 128, 2, 4), (150, 700, 300, 2, 5), (3, 1300, 1000, 1, 2)]
EPILOGUES = [None, "silu", "gelu_mul", "gelu", "swiglu"]
# M, N, K, k, E: the shapes that aiter tests its int4 with.
INT4_PUBLISHED = [(1, 64, 128, 1, 2), (1, 64, 128, 2, 4), (4, 32, 64, 4, 16), (8, 96, 256, 2, 16)]


@pytest.mark.parametrize("quantization", ["int8_w8a16", "int8_w8a8"])
@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_int8_weights(sizes, dtype, quantization):
    check_gemm(**int8_drawn(*sizes, quantization, dtype), epilogue="silu")


@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize("doweight_stage1", [False, True])
@pytest.mark.parametrize("quantization", ["int8_w8a16", "int8_w8a8"])
def test_int8_weights_with_every_epilogue_and_a_bias(epilogue, doweight_stage1, quantization):
    bias = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    arguments = int8_drawn(40, 64, 256, 2, 4, quantization) | {"bias": bias, "doweight_stage1": doweight_stage1}
    check_gemm(**arguments, epilogue=epilogue)


@pytest.mark.parametrize("K", [1024, 1025, 2500, 4000])
def test_sums_of_int8_codes_are_those_of_integers(K):
    """All codes -128 and 127: sums of fp32 would be rounded beyond 1024 rows, and the result is one of few bits."""
    a = np.where(np.arange(K) % 3, 1, -1).astype(FP16)[None]
    b = np.full((1, 3, K), 127, np.int8)
    b[0, 1], b[0, 2, ::2] = -128, 1
    arguments = {"a": a, "b": b, "topk_ids": np.zeros((1, 1), np.int32), "quantization": "int8_w8a8"}
    scale = np.full((1, 3), 2.0**-14, np.float32)
    result = fused_moe_gemm[2](**arguments, b_scale=scale)
    np.testing.assert_array_equal(result, fused_moe_gemm_reference(**arguments, b_scale=scale).astype(FP16))


def test_the_scale_may_have_a_last_dimension_of_1():
    arguments = int8_drawn(9, 32, 64, 2, 4, "int8_w8a16")
    flat = fused_moe_gemm(**arguments)
    np.testing.assert_array_equal(flat, fused_moe_gemm(**arguments | {"b_scale": arguments["b_scale"][..., None]}))


@pytest.mark.parametrize("zeros", [False, True], ids=["symmetric", "zeros"])
@pytest.mark.parametrize("group_size", [8, 16, 32, 64])
@pytest.mark.parametrize("sizes", INT4_PUBLISHED, ids=str)
def test_the_published_shapes_of_int4(sizes, group_size, zeros):
    check_gemm(**int4_drawn(*sizes, group_size, zeros))


@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize("zeros", [False, True], ids=["symmetric", "zeros"])
@pytest.mark.parametrize(("K", "group_size"), [(1024, 512), (768, 256), (1000, 8), (640, 128), (6, 2)])
def test_int4_with_every_epilogue(K, group_size, zeros, epilogue):
    check_gemm(**int4_drawn(20, 560, K, 2, 3, group_size, zeros), epilogue=epilogue)


def test_scales_of_int4_may_be_of_the_type_of_the_tokens():
    check_gemm(**int4_drawn(20, 64, 512, 2, 3, 64, True, BF16))


def test_the_low_half_of_a_byte_is_the_even_row_and_the_even_column():
    a = np.array([[1, 10]], FP16)
    given = {"topk_ids": np.zeros((1, 1), np.int32), "quantization": "int4_w4a16", "group_size": 2}
    scale = np.ones((1, 2, 1), np.float32)
    b = np.array([[[0x93], [0x93]]], np.uint8)  # rows 3 and 9
    assert fused_moe_gemm(a, b, b_scale=scale, **given).reshape(-1).tolist() == [-5 + 10, -5 + 10]
    zero = np.array([[[0x21]]], np.uint8)  # columns 1 and 2
    assert fused_moe_gemm(a, b, b_scale=scale, zero_point=zero, **given).reshape(-1).tolist() == [2 + 80, 1 + 70]


def fp8_drawn(M, N, K, k, E, dtype, per_column):
    rng = np.random.default_rng(K)
    b = rng.standard_normal((E, N, K), dtype=np.float32).astype(dtype)
    scale = rng.uniform(0.5, 1.5, (E, N) if per_column else E).astype(np.float32) / np.float32(np.sqrt(K))
    return drawn(M, N, K, k, E) | {"b": b, "b_scale": scale}


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3, ml_dtypes.float8_e5m2], ids=["e4m3", "e5m2"])
@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_fp8_weights(sizes, per_column, dtype):
    check_gemm(**fp8_drawn(*sizes, dtype, per_column), quantization="fp8_w8a16", epilogue="silu")


@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_fp8_weights_and_tokens(sizes, epilogue):
    arguments = fp8_drawn(*sizes, ml_dtypes.float8_e4m3, False) | {"a_scale": np.array([0.02], np.float32)}
    check_gemm(**arguments, quantization="fp8_w8a8", epilogue=epilogue)


def test_tokens_beyond_the_largest_fp8_number_saturate():
    arguments = fp8_drawn(4, 16, 64, 1, 2, ml_dtypes.float8_e4m3, False) | {"a_scale": np.array([0.002], np.float32)}
    assert np.abs(arguments["a"].astype(np.float32)).max() > 240 * 0.002
    check_gemm(**arguments, quantization="fp8_w8a8")
