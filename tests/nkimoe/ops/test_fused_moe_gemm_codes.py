"""`fused_moe_gemm` with rows that come as int8 codes, with results that become codes, and with sums of results."""

import ml_dtypes
import numpy as np
import pytest
from support.gemm_cases import BF16, FP16, as_torch, blocks_drawn, drawn, int4_drawn, int8_drawn, normal, routed

from nkimoe import RequestError
from nkimoe.ops import fused_moe, fused_moe_gemm, quantize_per_token_int8, smoothquant
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference, gemm_tolerance
from nkimoe.reference.row_quantisation import static_codes_reference
from nkimoe.reference.row_tolerance import code_distance
from nkimoe.reference.tolerance import distance
from nkisim import Simulator

E4M3, E4M3FN = ml_dtypes.float8_e4m3, ml_dtypes.float8_e4m3fn
EPILOGUES = [None, "silu", "gelu_mul", "gelu", "swiglu"]
# M, N, K, E, k: the shapes that aiter tests its int8 smoothquant GEMM with, up to 2**30 weights.
SMOOTHQUANT = [(16, 256, 256, 8, 2), (64, 512, 512, 8, 2), (300, 400, 400, 8, 2), (128, 1024, 512, 8, 4)]
LARGE = [(256, 2048, 1024, 16, 4), (256, 2048, 2048, 32, 2), (16, 4096, 1280, 128, 6), (128, 4096, 1280, 128, 6)]
ACTIVATIONS = [{}, {"epilogue": "swiglu"}, {"epilogue": "swiglu", "alpha": 1.702, "limit": 7.0, "add_residual": True}]


def summed(results):
    """The sum over the choices of each token, in fp32."""
    return results.astype(np.float32).sum(axis=1)


def smoothquant_drawn(M, N, K, E, k, gather, gammas):
    """int8 rows and weights with their scales; without `gather` a row for each pair."""
    rng = np.random.default_rng(M)
    ids, weights = routed(rng, M, k, E)
    rows = (M,) if gather else (M, k)
    pool = rng.integers(-127, 128, min(E * N * K, 1_000_003)).astype(np.int8)
    return {
        "a": rng.integers(-127, 128, (*rows, K)).astype(np.int8), "b": np.resize(pool, (E, N, K)), "topk_ids": ids,
        "topk_weights": weights if gammas else None, "quantization": "int8_w8a8",
        "a_scale": rng.uniform(0.5, 1.5, rows).astype(np.float32) / 73,
        "b_scale": rng.uniform(0.5, 1.5, (E, N)).astype(np.float32) / np.float32(73 * K**0.5),
        "bias": rng.standard_normal((E, N)).astype(np.float32),
    }  # fmt: skip


def expected_of(arguments, **options):
    """The definition, which has a row for each of its results where `a` has."""
    arguments = {**arguments, **options}
    (M, k), N = arguments["topk_ids"].shape, arguments["a"].ndim
    if N == 2:
        return fused_moe_gemm_reference(**arguments)
    flat = {"a": arguments["a"].reshape(M * k, -1), "topk_ids": arguments["topk_ids"].reshape(-1, 1)}
    if arguments.get("a_scale") is not None:
        flat["a_scale"] = arguments["a_scale"].reshape(M * k, *arguments["a_scale"].shape[2:])
    if arguments.get("topk_weights") is not None:
        flat["topk_weights"] = arguments["topk_weights"].reshape(-1, 1)
    results = fused_moe_gemm_reference(**arguments | flat)
    return results.reshape(M, k, results.shape[2])


def check_smoothquant(sizes, gather, scatter, gammas, activation):
    arguments = smoothquant_drawn(*sizes, gather, gammas) | activation
    expected = expected_of(arguments)
    wanted = summed(expected) if scatter else expected
    result = fused_moe_gemm[2](**arguments, reduce=scatter)
    assert (result.dtype, result.shape) == (BF16, wanted.shape)
    rows = -1, expected.shape[-1]
    assert distance(result.reshape(rows), wanted.reshape(rows)).within(gemm_tolerance("bfloat16"))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=["plain", "swiglu", "gpt-oss"])
@pytest.mark.parametrize("gammas", [False, True], ids=["", "gammas"])
@pytest.mark.parametrize("gather", [False, True], ids=["", "gather"])
@pytest.mark.parametrize("scatter", [False, True], ids=["", "scatter"])
@pytest.mark.parametrize("sizes", SMOOTHQUANT, ids=str)
def test_int8_rows_with_their_scales(sizes, gather, scatter, gammas, activation):
    check_smoothquant(sizes, gather, scatter, gammas, activation)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", LARGE, ids=str)
def test_int8_rows_with_their_scales_in_larger_layers(sizes):
    check_smoothquant(sizes, True, True, True, ACTIVATIONS[2])


@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("sizes", [(16, 64, 128, 2, 4), (150, 700, 300, 2, 5), (3, 130, 4000, 1, 2)], ids=str)
def test_codes_give_the_bits_of_the_rows_they_were_made_of(sizes, dtype):
    arguments = int8_drawn(*sizes, "int8_w8a8", dtype)
    codes, scale = quantize_per_token_int8(arguments["a"])
    for of_rows in (scale, scale[:, None]):
        coded = arguments | {"a": codes, "a_scale": of_rows, "out_dtype": np.dtype(dtype).name}
        found, expected = fused_moe_gemm[2](**coded), fused_moe_gemm[2](**arguments)
        np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_rows_smoothed_and_quantised_as_aiter_does_go_in_as_they_are():
    """q = x * smooth / scale, ties away from zero, scale = max / 127 + 1e-12."""
    arguments = int8_drawn(40, 200, 300, 2, 4, "int8_w8a8")
    smooth = np.random.default_rng(0).uniform(0.5, 2, 300).astype(np.float32)
    y = arguments["a"].astype(np.float32) * smooth
    codes, scale = smoothquant(arguments["a"], smooth, rounding="away", zero_row="plus")
    expected = np.abs(y).max(axis=1) / np.float32(127) + np.float32(1e-12)
    np.testing.assert_array_equal(scale, expected)
    quotients = y / expected[:, None]
    np.testing.assert_array_equal(codes, (np.sign(quotients) * np.floor(np.abs(quotients) + 0.5)).astype(np.int8))
    coded = arguments | {"a": codes, "a_scale": scale}
    result, wanted = fused_moe_gemm[2](**coded), fused_moe_gemm_reference(**coded)
    assert distance(result.reshape(80, 200), wanted.reshape(80, 200)).within(gemm_tolerance("bfloat16"))


@pytest.mark.parametrize("K", [1024, 1025, 2500, 4000])
def test_sums_of_codes_of_minus_128_are_exact(K):
    a, b = np.full((1, K), -128, np.int8), np.full((1, 3, K), -128, np.int8)
    b[0, 1], b[0, 2, ::2] = 127, 1
    arguments = {"a": a, "b": b, "topk_ids": np.zeros((1, 1), np.int32), "quantization": "int8_w8a8"}
    scales = {"a_scale": np.ones(1, np.float32), "b_scale": np.full((1, 3), 2.0**-14, np.float32)}
    found = fused_moe_gemm[2](**arguments, **scales, out_dtype="float16")
    np.testing.assert_array_equal(found, fused_moe_gemm_reference(**arguments, **scales).astype(FP16))


def integers(M, N, K, k, E, dtype=BF16):
    """Small integers: sums are exact."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((M, K), (E, N, K)))
    ids, _ = routed(rng, M, k, E)
    return {"a": a, "b": b, "topk_ids": ids, "topk_weights": np.exp2(rng.integers(-1, 2, (M, k))).astype(np.float32)}


@pytest.mark.parametrize("out_dtype", ["int8", "float8_e4m3", "float8_e4m3fn"])
@pytest.mark.parametrize("doweight_stage1", [False, True])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_results_become_codes_exactly(weighted, doweight_stage1, out_dtype):
    """Exact sums over powers of two, many of them half way between two codes, some beyond the largest."""
    arguments = integers(150, 700, 60, 2, 4) | {"doweight_stage1": doweight_stage1 and weighted}
    if not weighted:
        arguments["topk_weights"] = None
    arguments["topk_ids"][::7, 1] = -1
    scale = np.array([0.5], np.float32)
    found = fused_moe_gemm[2](**arguments, out_dtype=out_dtype, out_scale=scale)
    expected = static_codes_reference(fused_moe_gemm_reference(**arguments), 0.5, out_dtype)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
    largest = np.abs(expected.astype(np.float32)).max()
    assert largest == {"int8": 128, "float8_e4m3": 240, "float8_e4m3fn": 448}[out_dtype]


@pytest.mark.parametrize("out_dtype", ["int8", "float8_e4m3"])
@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
def test_codes_behind_every_epilogue(epilogue, out_dtype):
    """A code beside the right one is left to sums and activations in another order of additions."""
    arguments = drawn(40, 200, 300, 2, 4) | {"epilogue": epilogue}
    scale = np.array([0.02], np.float32)
    for of_weights in ({}, {"doweight_stage1": True}):
        found = fused_moe_gemm[2](**arguments, **of_weights, out_dtype=out_dtype, out_scale=scale)
        expected = static_codes_reference(fused_moe_gemm_reference(**arguments, **of_weights), 0.02, out_dtype)
        apart = code_distance(found, expected)
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= 1e-3 * apart.size


@pytest.mark.parametrize("make", [int8_drawn, int4_drawn])
def test_codes_of_quantised_weights(make):
    arguments = make(20, 64, 128, 2, 3, *(("int8_w8a8",) if make is int8_drawn else (64, True)))
    found = fused_moe_gemm[2](**arguments, out_dtype="int8", out_scale=np.array([[0.5]], np.float32))
    expected = static_codes_reference(fused_moe_gemm_reference(**arguments), 0.5, "int8")
    assert code_distance(found, expected).max() <= 1


def test_torch_gives_codes_of_torch_and_none_that_it_lacks():
    torch = pytest.importorskip("torch")
    arguments = as_torch(drawn(9, 32, 64, 2, 4))
    scale = {"out_scale": torch.ones(1)}
    assert fused_moe_gemm(**arguments, **scale, out_dtype="float8_e4m3fn").dtype == torch.float8_e4m3fn
    codes, scales = torch.ones(9, 64, dtype=torch.int8), torch.ones(9)
    int8 = as_torch(int8_drawn(9, 32, 64, 2, 4, "int8_w8a8")) | {"a": codes, "a_scale": scales}
    assert fused_moe_gemm(**int8, **scale, out_dtype="int8").dtype == torch.int8
    with pytest.raises(RequestError, match="out_dtype: is a type of torch; got float8_e4m3"):
        fused_moe_gemm(**arguments, **scale, out_dtype="float8_e4m3")


def test_no_pairs_give_codes_of_zero():
    arguments = integers(9, 32, 64, 2, 4)
    arguments["topk_ids"][:] = -1
    found = fused_moe_gemm(**arguments, out_dtype="float8_e4m3", out_scale=np.ones(1, np.float32))
    assert found.dtype == E4M3
    assert not found.astype(np.float32).any()


def test_e4m3fn_is_no_result_on_trn2():
    trn2 = fused_moe_gemm.launched_by(lambda kernel, *given: Simulator("trn2", 1).run(kernel, *given).outputs)
    with pytest.raises(RequestError, match="out_dtype: is float8_e4m3, float8_e5m2 on trn2; got float8_e4m3fn"):
        trn2(**integers(9, 32, 64, 2, 4), out_dtype="float8_e4m3fn", out_scale=np.ones(1, np.float32))


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("epilogue", [None, "silu"], ids=str)
def test_results_of_a_token_are_added(epilogue, cores):
    arguments = drawn(150, 300, 200, 3, 5) | {"epilogue": epilogue}
    arguments["topk_ids"][::3, 1], arguments["topk_ids"][5] = -1, -1
    result = fused_moe_gemm[cores](**arguments, reduce=True)
    expected = summed(fused_moe_gemm_reference(**arguments))
    assert not result[5].astype(np.float32).any()
    assert distance(result, expected).within(gemm_tolerance("bfloat16"))


@pytest.mark.parametrize("reduce", [False, True])
@pytest.mark.parametrize("quantization", [None, "fp8_block_w8a8"], ids=str)
def test_each_choice_may_have_a_row_of_its_own(quantization, reduce):
    arguments = drawn(150, 300, 200, 3, 5) if quantization is None else blocks_drawn(150, 300, 200, 3, 5, quantization)
    arguments["a"] = normal(np.random.default_rng(1), (150, 3, 200), BF16)
    result, expected = fused_moe_gemm[2](**arguments, reduce=reduce), expected_of(arguments)
    wanted = summed(expected) if reduce else expected
    assert result.shape == wanted.shape
    assert distance(result.reshape(-1, 300), wanted.reshape(-1, 300)).within(gemm_tolerance("bfloat16"))


def test_the_second_projection_of_a_layer_takes_what_the_first_left():
    first = drawn(40, 128, 200, 2, 4) | {"epilogue": "silu"}
    m = fused_moe_gemm(**first | {"topk_weights": None})
    w2 = normal(np.random.default_rng(1), (4, 200, 64), BF16, 0.1)
    out = fused_moe_gemm(m, w2, first["topk_ids"], first["topk_weights"], reduce=True)
    same = fused_moe(first["a"], first["b"], w2, first["topk_weights"], first["topk_ids"])
    np.testing.assert_array_equal(out.view(np.uint16), same.view(np.uint16))


def test_no_rows_give_no_results():
    arguments = drawn(0, 32, 64, 2, 4)
    assert fused_moe_gemm(**arguments, reduce=True).shape == (0, 32)
    assert fused_moe_gemm(**arguments).shape == (0, 2, 32)


def test_sums_of_no_pairs_are_zero():
    arguments = drawn(9, 32, 64, 2, 4)
    arguments["topk_ids"][:] = -1
    assert fused_moe_gemm(**arguments, reduce=True).shape == (9, 32)


@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
def test_results_may_be_of_the_other_16_bits(dtype):
    arguments = drawn(20, 64, 100, 2, 4, dtype)
    other = "float16" if dtype is BF16 else "bfloat16"
    found, expected = fused_moe_gemm(**arguments, out_dtype=other), fused_moe_gemm_reference(**arguments)
    assert found.dtype == other
    assert distance(found.reshape(40, 64), expected.reshape(40, 64)).within(gemm_tolerance(other))


ONE = np.ones(1, np.float32)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"out_dtype": "int4"}, "out_dtype: is bfloat16, float16, int8, .*; got 'int4'"),
        ({"out_dtype": "int8"}, "out_scale: is given with out_dtype int8"),
        ({"out_scale": ONE}, "out_scale: is given with .* got it with bfloat16"),
        ({"out_dtype": "int8", "out_scale": 0 * ONE}, "out_scale: is positive; got 0.0"),
        ({"out_dtype": "int8", "out_scale": np.ones(2, np.float32)}, "out_scale: is float32, one number"),
        ({"out_dtype": "int8", "out_scale": np.ones(1)}, "out_scale: is float32, one number"),
        ({"reduce": 1}, "reduce: is True or False"),
        ({"reduce": True, "out_dtype": "int8", "out_scale": ONE}, "reduce: comes without out_scale"),
        ({"a": np.ones((9, 64), np.int8)}, "a: is bfloat16 or float16; got int8"),
        ({"a": np.ones((9, 3, 64), BF16)}, r"a: has a row for each of the 2 choices; got \(9, 3, 64\)"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_results_that_cannot_be_are_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        fused_moe_gemm(**drawn(9, 32, 64, 2, 4) | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"a_scale": np.ones(8, np.float32)}, r"a_scale: is \(9, 1\); got \(8,\)"),
        ({"a_scale": None}, "a_scale: is given with int8_w8a8, and no other; got None"),
        ({"quantization": "int8_w8a16"}, "a: is bfloat16 or float16; got int8"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_codes_without_fitting_scales_are_refused(changed, said):
    arguments = int8_drawn(9, 32, 64, 2, 4, "int8_w8a8")
    codes = {"a": np.ones((9, 64), np.int8), "a_scale": np.ones(9, np.float32)}
    with pytest.raises(RequestError, match=said):
        fused_moe_gemm(**arguments | codes | changed)
