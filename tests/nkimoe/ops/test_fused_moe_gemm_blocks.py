"""`fused_moe_gemm` and `fused_moe` with fp8 weights that have a scale for each block of 128 x 128."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gemm_cases import BF16, FP16, as_torch, blocks_drawn, check_gemm, routed

from nkimoe import InputError, RequestError
from nkimoe.ops import fused_moe, fused_moe_gemm
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference, gemm_tolerance
from nkimoe.reference.row_quantisation import quantize_groups_reference
from nkimoe.reference.tolerance import E4M3_STEP, distance
from nkimoe.reference.two_stage_moe import two_stage_moe_reference
from nkimoe.weights import legacy_blocks
from nkisim import Simulator

E4M3, E4M3FN = ml_dtypes.float8_e4m3, ml_dtypes.float8_e4m3fn
BOTH = pytest.mark.parametrize("quantization", ["fp8_block_w8a16", "fp8_block_w8a8"])
SIZES = [(16, 64, 128, 2, 4), (150, 700, 300, 2, 5), (3, 1300, 1000, 1, 2), (40, 300, 2048, 2, 3), (1, 1, 1, 1, 1)]
EPILOGUES = [None, "silu", "gelu_mul", "gelu", "swiglu"]


def on(target):
    return fused_moe_gemm.launched_by(lambda kernel, *given: Simulator(target, 2).run(kernel, *given).outputs)


@BOTH
@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes_that_are_no_multiples_of_a_block(sizes, dtype, quantization):
    check_gemm(**blocks_drawn(*sizes, quantization, dtype))


@BOTH
@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize("doweight_stage1", [False, True])
def test_every_epilogue_with_a_bias(epilogue, doweight_stage1, quantization):
    bias = np.random.default_rng(0).standard_normal((4, 600)).astype(np.float32)
    arguments = blocks_drawn(40, 600, 384, 2, 4, quantization) | {"bias": bias, "doweight_stage1": doweight_stage1}
    check_gemm(**arguments, epilogue=epilogue)


@BOTH
@pytest.mark.parametrize("cores", [1, 2])
def test_blocks_of_tokens_of_several_tiles(quantization, cores):
    check_gemm(cores, **blocks_drawn(1700, 300, 256, 2, 3, quantization), epilogue="silu")


# From some columns on: numbers of weights are rounded, and a row of one value may lie in the tail of GELU, where the
# relative error of its argument counts several times.
@BOTH
@given(st.integers(1, 90), st.integers(16, 400), st.integers(1, 700), st.sampled_from(EPILOGUES))
@settings(max_examples=15, deadline=None)
def test_any_sizes_will_do(quantization, M, columns, K, epilogue):
    check_gemm(**blocks_drawn(M, 2 * columns, K, 2, 3, quantization), epilogue=epilogue)


@BOTH
def test_ids_of_no_expert_have_rows_of_zeros_and_experts_without_tokens_none(quantization):
    arguments = blocks_drawn(150, 200, 300, 2, 6, quantization)
    arguments["topk_ids"] %= 4
    arguments["topk_ids"][::3, 1], arguments["topk_ids"][5] = -1, [6, -7]
    assert not check_gemm(**arguments)[5].astype(np.float32).any()
    arguments["topk_ids"][:] = -1
    assert not fused_moe_gemm(**arguments).astype(np.float32).any()


@BOTH
@pytest.mark.parametrize("epilogue", [None, "swiglu"], ids=str)
def test_each_code_has_the_scale_of_its_own_block(epilogue, quantization):
    """One row of K that is not zero, and scales that all differ: results say which scale they met."""
    N, K, blocks = 1100, 640, (9, 5)
    scale = np.exp2(np.arange(45, dtype=np.float32).reshape(blocks) % 11 - 5)
    given = {"b": np.ones((1, N, K), E4M3), "b_scale": scale[None], "topk_ids": np.zeros((1, 1), np.int32)}
    for row in (0, 127, 128, 500, 639):
        a = np.zeros((1, K), FP16)
        a[0, row] = 1
        result = fused_moe_gemm[2](a, **given, quantization=quantization, epilogue=epilogue).reshape(-1)
        v = np.repeat(scale[:, row // 128], 128)[:N]
        expected = v if epilogue is None else v[0::2] / (1 + np.exp(-v[0::2])) * v[1::2]
        np.testing.assert_allclose(result.astype(np.float32), expected, rtol=2**-10)


def test_products_of_codes_are_scaled_before_they_are_added_and_not_rounded():
    """Sums of small integers times powers of two: exact however large the scales of blocks differ."""
    rng = np.random.default_rng(0)
    M, N, K = 9, 140, 500
    a = rng.integers(-8, 9, (M, K)).astype(FP16)
    a[:, ::128] = 15  # the largest of each group: its scale is exact
    b = rng.integers(-8, 9, (1, N, K)).astype(E4M3)
    scale = np.exp2(rng.integers(-6, 6, (1, 2, 4))).astype(np.float32)
    arguments = {"a": a, "b": b, "b_scale": scale, "topk_ids": np.zeros((M, 1), np.int32)}
    result = fused_moe_gemm[2](**arguments, quantization="fp8_block_w8a8")
    expected = fused_moe_gemm_reference(**arguments, quantization="fp8_block_w8a8")
    np.testing.assert_array_equal(result, expected.astype(FP16))


@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_rows_that_come_as_codes_give_the_bits_of_rows_that_become_them(sizes, dtype):
    arguments = blocks_drawn(*sizes, "fp8_block_w8a8", dtype)
    codes, scale = quantize_groups_reference(arguments["a"], "float8_e4m3")
    found = fused_moe_gemm[2](**arguments | {"a": codes, "a_scale": scale}, out_dtype=np.dtype(dtype).name)
    np.testing.assert_array_equal(found.view(np.uint16), fused_moe_gemm[2](**arguments).view(np.uint16))


def test_rows_of_codes_have_results_in_bf16():
    arguments = blocks_drawn(20, 200, 300, 2, 3, "fp8_block_w8a8")
    codes, scale = quantize_groups_reference(arguments["a"], "float8_e4m3")
    assert fused_moe_gemm(**arguments | {"a": codes, "a_scale": scale}).dtype == BF16


@BOTH
def test_torch_gives_torch_and_the_same_bits(quantization):
    torch = pytest.importorskip("torch")
    arguments = blocks_drawn(20, 200, 300, 2, 3, quantization, fp8=E4M3FN)
    expected, found = fused_moe_gemm(**arguments), fused_moe_gemm(**as_torch(arguments))
    np.testing.assert_array_equal(found.view(torch.int16).numpy().view(np.uint16), expected.view(np.uint16))
    if quantization == "fp8_block_w8a8":
        codes, scale = quantize_groups_reference(arguments["a"], "float8_e4m3fn")
        found = fused_moe_gemm(**as_torch(arguments | {"a": codes, "a_scale": scale}))
        np.testing.assert_array_equal(found.view(torch.int16).numpy().view(np.uint16), expected.view(np.uint16))


@BOTH
def test_the_same_bits_on_one_core_or_two(quantization):
    arguments = blocks_drawn(300, 700, 300, 2, 3, quantization)
    one, two = (fused_moe_gemm[cores](**arguments).view(np.uint16) for cores in (1, 2))
    np.testing.assert_array_equal(one, two)


@BOTH
def test_checkpoints_in_e4m3fn_run_on_trn2_with_halved_codes_and_doubled_scales(quantization):
    arguments = blocks_drawn(40, 300, 256, 2, 3, quantization, fp8=E4M3FN)
    b = np.rint(arguments["b"].astype(np.float32) * 16) / 16  # halves of these are exact
    b[0, 5, 7], b[2, 290, 200], b[1, 150, 100] = 448, -256, 240
    arguments["b"] = b.astype(E4M3FN)
    with pytest.raises(RequestError, match=r"b: is float8_e4m3, float8_e5m2 on trn2; .* nkimoe\.weights"):
        on("trn2")(**arguments)
    legacy, scale, rounding = legacy_blocks(arguments["b"], arguments["b_scale"], 128)
    assert (rounding.halved, rounding.rounded) == (2, 0)
    result = on("trn2")(**arguments | {"b": legacy, "b_scale": scale})
    if quantization == "fp8_block_w8a16":
        expected = fused_moe_gemm_reference(**arguments)
    else:  # rows become codes of the type of the weights
        expected = fused_moe_gemm_reference(**arguments | {"b": legacy, "b_scale": scale})
    rows = -1, expected.shape[2]
    assert distance(result.reshape(rows), expected.reshape(rows)).within(gemm_tolerance("bfloat16"))


@BOTH
def test_e4m3fn_is_kept_on_trn3(quantization):
    arguments = blocks_drawn(40, 300, 256, 2, 3, quantization, fp8=E4M3FN)
    arguments["b"][0, 5, 7] = 448
    result, expected = on("trn3")(**arguments), fused_moe_gemm_reference(**arguments)
    rows = -1, expected.shape[2]
    assert distance(result.reshape(rows), expected.reshape(rows)).within(gemm_tolerance("bfloat16"))


@BOTH
@pytest.mark.parametrize("activation", ["silu", "swiglu"])
def test_both_projections(activation, quantization):
    M, I, H, k, E = 60, 170, 300, 2, 4
    first, second = blocks_drawn(M, 2 * I, H, k, E, quantization), blocks_drawn(M, H, I, k, E, quantization)
    ids, weights = routed(np.random.default_rng(0), M, k, E)
    arguments = {"hidden_states": first["a"], "w1": first["b"], "w2": second["b"], "topk_weights": weights}
    arguments |= {"topk_ids": ids, "activation": activation}
    of_both = [{"b_scale": each["b_scale"], "quantization": quantization} for each in (first, second)]
    scales = {"w1_scale": first["b_scale"], "w2_scale": second["b_scale"], "quantization": quantization}
    result = fused_moe[2](**arguments, **scales)
    expected = two_stage_moe_reference(**arguments, of_first=of_both[0], of_second=of_both[1])
    apart, bounds = distance(result, expected), gemm_tolerance("bfloat16")
    print(f"relative L2 {apart.rel_l2:.2e}, worst row {apart.worst_row:.2e}")
    if quantization == "fp8_block_w8a16":
        assert apart.within(bounds)
    else:  # an element of m at the border of two e4m3 numbers may be the other one, as in `mx_tolerance`
        assert apart.rel_l2 <= bounds.rel_l2 + E4M3_STEP / np.sqrt(I)
        assert apart.worst_row <= bounds.worst_row + 4 * E4M3_STEP / np.sqrt(I)


REFUSED = [
    ({"b_scale": np.ones((4, 3, 2), np.float32)}, r"b_scale: is \(4, 2, 2\); got \(4, 3, 2\)"),
    ({"b_scale": np.ones((4, 200), np.float32)}, r"b_scale: is \(4, 2, 2\); got \(4, 200\)"),
    ({"b_scale": np.ones((4, 2, 2))}, "b_scale: is float32; got float64"),
    ({"b_scale": None}, "b_scale: is given with"),
    ({"b": np.ones((4, 200, 256), np.int8)}, "b: is float8_e4m3 or .* with fp8_block_w8a8; got int8"),
    ({"a_scale": np.ones((9, 2), np.float32)}, "a_scale: is given with fp8_w8a8.*Rows of bfloat16 become codes"),
    ({"a": np.ones((9, 256), E4M3)}, "a_scale: is given with fp8_block_w8a8"),
    ({"a": np.ones((9, 256), E4M3FN), "a_scale": np.ones((9, 2), np.float32)}, "a: is float8_e4m3 with b of float8_e"),
    ({"a": np.ones((9, 256), E4M3), "a_scale": np.ones((9, 1), np.float32)}, r"a_scale: is \(9, 2\); got \(9, 1\)"),
    ({"a": np.ones((9, 256), E4M3), "a_scale": np.ones((9, 2))}, "a_scale: is float32; got float64"),
    ({"a": np.ones((9, 256), np.int8)}, "a: is bfloat16 or float16 or float8_e4m3 or float8_e4m3fn; got int8"),
    ({"a": np.ones((9, 256), E4M3), "quantization": "fp8_block_w8a16"}, "a: is bfloat16 or float16; got float8_e4m3"),
    ({"group_size": 128}, "group_size: is given with int4_w4a16"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_does_not_fit_is_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        fused_moe_gemm(**blocks_drawn(9, 200, 256, 2, 4, "fp8_block_w8a8") | changed)


@pytest.mark.parametrize("name", ["b_scale", "a_scale"])
def test_scales_that_are_not_finite_are_refused(name):
    arguments = blocks_drawn(9, 200, 256, 2, 4, "fp8_block_w8a8")
    codes, scale = quantize_groups_reference(arguments["a"], "float8_e4m3")
    arguments |= {"a": codes, "a_scale": scale}
    arguments[name][0, 0] = np.inf
    with pytest.raises(InputError, match=f"{name}: is finite"):
        fused_moe_gemm(**arguments)
