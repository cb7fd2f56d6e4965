"""`fused_moe_gemm` and `fused_moe` with MX weights, on Trn3."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.gemm_cases import BF16, FP16, as_torch, check_gemm, mx_drawn, routed

from nkimoe import InputError, RequestError
from nkimoe.ops import fused_moe, fused_moe_gemm
from nkimoe.reference.grouped_gemm import gemm_tolerance
from nkimoe.reference.tolerance import E4M3_STEP, distance
from nkimoe.reference.two_stage_moe import two_stage_moe_reference
from nkisim import Simulator

BOTH = pytest.mark.parametrize("quantization", ["mxfp4", "mxfp8"])
SIZES = [(16, 64, 128, 2, 4), (150, 700, 320, 2, 5), (3, 1300, 1024, 1, 2), (40, 300, 2080, 2, 3), (1, 1, 32, 1, 1)]
EPILOGUES = [None, "silu", "gelu_mul", "gelu", "swiglu"]


@BOTH
@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes_that_fill_no_tile(sizes, dtype, quantization):
    check_gemm(**mx_drawn(*sizes, quantization, dtype))


@BOTH
@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize("doweight_stage1", [False, True])
def test_every_epilogue_with_a_bias(epilogue, doweight_stage1, quantization):
    bias = np.random.default_rng(0).standard_normal((4, 602)).astype(np.float32)
    arguments = mx_drawn(40, 602, 384, 2, 4, quantization) | {"bias": bias, "doweight_stage1": doweight_stage1}
    check_gemm(**arguments, epilogue=epilogue)


@BOTH
@pytest.mark.parametrize("cores", [1, 2])
def test_blocks_of_tokens_of_several_tiles(quantization, cores):
    check_gemm(cores, **mx_drawn(1700, 300, 256, 2, 3, quantization), epilogue="silu")


@BOTH
@given(st.integers(1, 90), st.integers(1, 400), st.integers(1, 25), st.sampled_from(EPILOGUES))
@settings(max_examples=15, deadline=None)
def test_any_sizes_will_do_with_whole_blocks_of_32(quantization, M, columns, blocks, epilogue):
    assume(M * columns >= 64)  # the error of fewer results is no average
    check_gemm(**mx_drawn(M, 2 * columns, 32 * blocks, 2, 3, quantization), epilogue=epilogue)


@BOTH
def test_ids_of_no_expert_have_rows_of_zeros(quantization):
    arguments = mx_drawn(150, 200, 320, 2, 6, quantization)
    arguments["topk_ids"] %= 4
    arguments["topk_ids"][::3, 1], arguments["topk_ids"][5] = -1, [6, -7]
    assert not check_gemm(**arguments)[5].astype(np.float32).any()


def test_each_code_has_the_scale_of_its_own_32_rows():
    N, K = 600, 1088
    scale = (np.arange(N * K // 32).reshape(1, N, K // 32) % 13 + 121).astype(np.uint8)
    given = {"b": np.full((1, N, K // 2), 0x22, np.uint8), "b_scale": scale, "topk_ids": np.zeros((1, 1), np.int32)}
    for row in (0, 31, 32, 500, 511, 512, 1087):  # of ones: 2 is the code of 1
        a = np.zeros((1, K), FP16)
        a[0, row] = 1
        result = fused_moe_gemm[2](a, **given, quantization="mxfp4").reshape(-1)
        np.testing.assert_array_equal(result, np.exp2(scale[0, :, row // 32].astype(np.float32) - 127).astype(FP16))


def test_the_low_half_of_a_byte_is_the_even_row():
    b = np.zeros((1, 1, 16), np.uint8)
    b[0, 0, 3] = 0x42  # rows 6 and 7: 1 and 2
    given = {"b": b, "b_scale": np.full((1, 1, 1), 127, np.uint8), "topk_ids": np.zeros((1, 1), np.int32)}
    a = np.zeros((1, 32), FP16)
    a[0, 6], a[0, 7] = 1, 8
    assert fused_moe_gemm(a, **given, quantization="mxfp4").item() == 1 + 16


@BOTH
def test_scales_may_be_e8m0_and_tensors_torch(quantization):
    torch = pytest.importorskip("torch")
    arguments = mx_drawn(20, 64, 128, 2, 3, quantization)
    expected = fused_moe_gemm(**arguments)
    e8m0 = arguments | {"b_scale": arguments["b_scale"].view(ml_dtypes.float8_e8m0fnu)}
    np.testing.assert_array_equal(fused_moe_gemm(**e8m0).view(np.uint16), expected.view(np.uint16))
    found = fused_moe_gemm(**as_torch(arguments))
    np.testing.assert_array_equal(found.view(torch.int16).numpy().view(np.uint16), expected.view(np.uint16))


@BOTH
def test_the_same_bits_on_one_core_or_two(quantization):
    arguments = mx_drawn(300, 700, 320, 2, 3, quantization)
    one, two = (fused_moe_gemm[cores](**arguments).view(np.uint16) for cores in (1, 2))
    np.testing.assert_array_equal(one, two)


@BOTH
def test_both_projections(quantization):
    M, I, H, k, E = 60, 160, 320, 2, 4
    first, second = mx_drawn(M, 2 * I, H, k, E, quantization), mx_drawn(M, H, I, k, E, quantization)
    ids, weights = routed(np.random.default_rng(0), M, k, E)
    arguments = {"hidden_states": first["a"], "w1": first["b"], "w2": second["b"], "topk_weights": weights}
    arguments |= {"topk_ids": ids, "activation": "swiglu"}
    scales = {"w1_scale": first["b_scale"], "w2_scale": second["b_scale"], "quantization": quantization}
    result = fused_moe[2](**arguments, **scales)
    of_both = [{"b_scale": each["b_scale"], "quantization": quantization} for each in (first, second)]
    expected = two_stage_moe_reference(**arguments, of_first=of_both[0], of_second=of_both[1])
    apart, bounds = distance(result, expected), gemm_tolerance("bfloat16")
    print(f"relative L2 {apart.rel_l2:.2e}, worst row {apart.worst_row:.2e}")
    # An element of m at the border of two e4m3 numbers may be the other one, as in `mx_tolerance`.
    assert apart.rel_l2 <= bounds.rel_l2 + E4M3_STEP / np.sqrt(I)
    assert apart.worst_row <= bounds.worst_row + 4 * E4M3_STEP / np.sqrt(I)


@BOTH
def test_trn2_has_no_mx(quantization):
    trn2 = fused_moe_gemm.launched_by(lambda kernel, *given: Simulator("trn2", 1).run(kernel, *given).outputs)
    with pytest.raises(RequestError, match="quantization: is no MX on trn2"):
        trn2(**mx_drawn(9, 32, 64, 2, 4, quantization))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"b_scale": np.ones((4, 32, 3), np.uint8)}, r"b_scale: is \(4, 32, 2\); got \(4, 32, 3\)"),
        ({"b_scale": np.ones((4, 32, 2), np.float32)}, "b_scale: is uint8 or float8_e8m0fnu; got float32"),
        ({"b": np.zeros((4, 32, 64), np.uint8)}, r"b: is \[E, N, K\] with K = 64, two codes a byte"),
        ({"b": np.zeros((4, 32, 32), np.int8)}, "b: is uint8 with mxfp4; got int8"),
        ({"a_scale": np.ones(1, np.float32)}, "a_scale: is given with fp8_w8a8"),
        ({"quantization": "mxfp6"}, "quantization: is unquant .* got 'mxfp6'"),
        ({"a": np.ones((9, 48), BF16), "b": np.zeros((4, 32, 24), np.uint8)}, "b: has K in whole blocks of 32; got 48"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_what_does_not_fit_is_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        fused_moe_gemm(**mx_drawn(9, 32, 64, 2, 4, "mxfp4") | changed)


def test_a_scale_of_nan_is_refused():
    arguments = mx_drawn(9, 32, 64, 2, 4, "mxfp4")
    arguments["b_scale"][0, 0, 0] = 255
    with pytest.raises(InputError, match="b_scale: is finite"):
        fused_moe_gemm(**arguments)
