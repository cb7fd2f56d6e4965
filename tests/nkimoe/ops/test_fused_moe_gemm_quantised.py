"""`fused_moe_gemm` with quantised weights is what their codes and scales say."""

import ml_dtypes
import numpy as np
import pytest
from support.gemm_cases import BF16, FP16, check_gemm, drawn, int4_drawn, int8_drawn

from nkimoe import InputError, RequestError
from nkimoe.ops import fused_moe_gemm
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference, gemm_tolerance
from nkimoe.reference.tolerance import distance
from nkisim import Simulator

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


@pytest.mark.parametrize("quantization", ["int8_w8a16", "int8_w8a8", "int4_w4a16"])
def test_blocks_of_several_tiles(quantization):
    sizes = (700, 300, 192, 2, 3)
    is_int4 = quantization == "int4_w4a16"
    check_gemm(**int4_drawn(*sizes, 64, True) if is_int4 else int8_drawn(*sizes, quantization), epilogue="silu")


@pytest.mark.parametrize("scale", [0, 1e-38, 1e-23])
@pytest.mark.parametrize("quantization", ["int8_w8a16", "int8_w8a8", "int4_w4a16"])
def test_experts_whose_scales_are_dead_give_nothing(quantization, scale):
    sizes = (16, 64, 128, 2, 4)
    is_int4 = quantization == "int4_w4a16"
    arguments = int4_drawn(*sizes, 64, True) if is_int4 else int8_drawn(*sizes, quantization)
    arguments["b_scale"][1] = scale
    result = fused_moe_gemm[2](**arguments, epilogue="silu").astype(np.float32)
    assert np.isfinite(result).all()
    assert (np.abs(result[arguments["topk_ids"] == 1]) < 1e-30).all()
    assert result[arguments["topk_ids"] == 2].any()


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


@pytest.mark.parametrize("group_size", [16, 512])
def test_scales_and_zeros_of_torch_are_those_of_numpy(group_size):
    torch = pytest.importorskip("torch")
    arguments = int4_drawn(9, 32, 1024, 2, 4, group_size, True, BF16)

    def tensor(value):
        if not isinstance(value, np.ndarray):
            return value
        return (
            torch.from_numpy(value.view(np.uint16)).view(torch.bfloat16)
            if value.dtype == BF16
            else torch.from_numpy(value)
        )

    result = fused_moe_gemm(**{name: tensor(value) for name, value in arguments.items()})
    expected = fused_moe_gemm(**arguments)
    np.testing.assert_array_equal(result.view(torch.int16), expected.view(np.int16))


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


def test_types_of_fp8_are_those_of_the_target():
    arguments = fp8_drawn(5, 32, 64, 1, 2, ml_dtypes.float8_e4m3fn, False) | {"a_scale": np.array([0.02], np.float32)}
    trn2, trn3 = (
        fused_moe_gemm.launched_by(lambda kernel, *given, t=target: Simulator(t, 2).run(kernel, *given).outputs)
        for target in ("trn2", "trn3")
    )
    result = trn3(**arguments, quantization="fp8_w8a8")
    expected = fused_moe_gemm_reference(**arguments, quantization="fp8_w8a8")
    assert distance(result[:, 0], expected[:, 0]).within(gemm_tolerance("bfloat16"))
    with pytest.raises(RequestError, match="b: is float8_e4m3, float8_e5m2 on trn2; got float8_e4m3fn"):
        trn2(**arguments, quantization="fp8_w8a8")


REFUSED = [
    ({"quantization": "int2"}, "quantization: is unquant or int8_w8a16"),
    ({"b_scale": None}, "b_scale: is given with int8_w8a16 or int8_w8a8 or int4_w4a16"),
    ({"quantization": "unquant"}, "b_scale: is given with .* got it with unquant"),
    ({"quantization": "fp8_w8a16"}, "b: is float8_e4m3 or .* with fp8_w8a16; got int8"),
    ({"group_size": 8}, "group_size: is given with int4_w4a16"),
    ({"a_scale": np.ones(1, np.float32)}, "a_scale: is given with fp8_w8a8"),
    ({"zero_point": np.zeros((4, 16, 1), np.uint8)}, "zero_point: is for int4_w4a16"),
    ({"b_scale": np.ones((4, 31), np.float32)}, r"b_scale: is \(4, 32\)"),
    ({"b_scale": np.ones((4, 32), FP16)}, "b_scale: is float32"),
    ({"b": np.zeros((4, 32, 63), np.int8)}, r"b: is \[E, N, K\] with K = 64"),
    ({"b": np.zeros((4, 31, 64), np.int8), "epilogue": "silu"}, r"b: is \[E, N, even, K\]"),
    ({"bias": np.ones((4, 31), np.float32)}, r"bias: is \(4, 32\)"),
    ({"epilogue": "relu"}, "epilogue: is None, silu, gelu_mul, gelu or swiglu; got 'relu'"),
    ({"limit": 7.0}, "epilogue: is swiglu with alpha, limit or add_residual; got None"),
    ({"epilogue": "swiglu", "limit": -1.0}, "limit: is positive, or None"),
    ({"epilogue": "swiglu", "alpha": np.nan}, "alpha: is finite"),
    ({"legacy_order": True}, "legacy_order: is for silu and gelu; got None"),
    ({"legacy_order": True, "epilogue": "silu", "doweight_stage1": True}, "legacy_order: comes without doweight"),
    ({"legacy_order": True, "epilogue": "silu", "bias": np.ones((4, 32), np.float32)}, "legacy_order: .* bias"),
    ({"doweight_stage1": True, "topk_weights": None}, "doweight_stage1: comes with topk_weights"),
    ({"doweight_stage1": 1}, "doweight_stage1: is True or False"),
    ({"topk_ids": np.zeros((9, 5), np.int32), "topk_weights": None}, r"topk_ids: is \[9, k\], k from 1 to 4"),
    ({"a": np.zeros((9, 16385), BF16)}, r"a: is \[rows, K\] or \[rows, k, K\], K from 1 to 16384"),
    ({"a": np.zeros((9, 64), np.float32)}, "a: is bfloat16 or float16; got float32"),
]


@pytest.mark.parametrize(("changed", "said"), REFUSED, ids=[said[:24] for _, said in REFUSED])
def test_what_it_cannot_do_is_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        fused_moe_gemm(**int8_drawn(9, 32, 64, 2, 4, "int8_w8a16") | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"group_size": 24}, "group_size: divides K = 64"),
        ({"group_size": 1}, "group_size: divides K = 64"),
        ({"group_size": True}, "group_size: is an integer below .* got True"),
        ({"b_scale": np.ones((4, 32, 5), np.float32)}, r"b_scale: is \(4, 32, 4\)"),
        ({"b_scale": np.ones((4, 32, 4), np.float64)}, "b_scale: is float32 or bfloat16"),
        ({"zero_point": np.ones((4, 32, 4), np.uint8)}, r"zero_point: is uint8 \(4, 16, 4\)"),
        ({"b": np.zeros((4, 32, 64), np.uint8)}, r"b: is \[E, N, K\] with K = 64, two codes a byte"),
        ({"b": np.zeros((4, 32, 32), np.int8)}, "b: is uint8 with int4_w4a16; got int8"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_groups_that_do_not_fit_are_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        fused_moe_gemm(**int4_drawn(9, 32, 64, 2, 4, 16, False) | changed)


@pytest.mark.parametrize("name", ["a", "b_scale", "topk_weights"])
def test_values_that_are_not_finite_are_refused(name):
    arguments = int8_drawn(9, 32, 64, 2, 4, "int8_w8a16")
    arguments[name][0, 0] = np.nan
    with pytest.raises(InputError, match=f"{name}: is finite"):
        fused_moe_gemm(**arguments)


def test_tokens_beyond_the_largest_fp8_number_saturate():
    arguments = fp8_drawn(4, 16, 64, 1, 2, ml_dtypes.float8_e4m3, False) | {"a_scale": np.array([0.002], np.float32)}
    assert np.abs(arguments["a"].astype(np.float32)).max() > 240 * 0.002
    check_gemm(**arguments, quantization="fp8_w8a8")
