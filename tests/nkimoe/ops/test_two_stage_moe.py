"""`e2e_moe` and `fused_moe` are the experts' MLP, in one step and in two."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gemm_cases import BF16, FP16, normal, routed

from nkimoe import RequestError
from nkimoe.ops import e2e_moe, fused_moe
from nkimoe.reference.grouped_gemm import gemm_tolerance
from nkimoe.reference.tolerance import distance
from nkimoe.reference.two_stage_moe import two_stage_moe_reference

# M, N, K, k, E: the shapes that aiter tests its own with; w1 has N rows.
PUBLISHED = [
    (16, 14336, 1, 2, 4), (1, 14336, 128, 2, 4), (3, 14336, 128, 2, 4), (16, 14336, 128, 1, 4), (16, 14336, 128, 1, 1),
    (64, 64, 128, 2, 8), (1, 64, 16384, 1, 2),
]  # fmt: skip
NAMES = {"b_scale": "w{}_scale", "zero_point": "w{}_zero_point", "a_scale": "a{}_scale", "bias": "bias{}"}
SIZES = (40, 140, 200, 2, 5)


def drawn(M, N, K, k, E, dtype=BF16):
    rng = np.random.default_rng(20)
    ids, weights = routed(rng, M, k, E)
    return {
        "hidden_states": normal(rng, (M, K), dtype),
        "w1": normal(rng, (E, N, K), dtype, K**-0.5),
        "w2": normal(rng, (E, K, N // 2), dtype, N**-0.5),
        "topk_weights": weights,
        "topk_ids": ids,
    }


def assert_close(result, expected, dtype):
    assert result.dtype == dtype
    apart = distance(result, expected)
    print(f"relative L2 {apart.rel_l2:.2e}, worst row {apart.worst_row:.2e}")
    assert apart.within(gemm_tolerance(str(result.dtype)))


def check_fused(arguments, cores=2, of_first=None, of_second=None, **options):
    """`of_first` and `of_second`: arguments of the projections, by the names of `fused_moe_gemm`."""
    renamed = {}
    for number, given_options in ((1, of_first), (2, of_second)):
        for name, value in (given_options or {}).items():
            renamed[NAMES.get(name, name).format(number)] = value
    swiglu = {name: options.pop(name) for name in ("alpha", "limit", "add_residual") if name in options}
    result = fused_moe[cores](**arguments, **options, **renamed, **swiglu)
    named = {**(of_first or {}), **swiglu}
    expected = two_stage_moe_reference(**arguments, **options, of_first=named, of_second=of_second)
    assert_close(result, expected, arguments["hidden_states"].dtype)
    return result


def check_e2e(arguments, cores=2, **options):
    renamed = {name: value for name, value in arguments.items() if name != "hidden_states"}
    result = e2e_moe[cores](a=arguments["hidden_states"], **renamed, **options)
    assert_close(result, two_stage_moe_reference(**arguments, **options), arguments["hidden_states"].dtype)
    return result


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
@pytest.mark.parametrize("sizes", PUBLISHED, ids=str)
def test_the_published_shapes(sizes, check):
    check(drawn(*sizes))


def test_long_rows_have_the_bits_of_two_stages_which_choose_their_blocks():
    arguments = drawn(5, 96, 8320, 2, 3)
    expected = fused_moe[2](**arguments)
    arguments["a"] = arguments.pop("hidden_states")
    assert np.array_equal(e2e_moe[2](**arguments), expected)
    with pytest.raises(RequestError, match="block_size: is None for rows of more than 8192 columns; got 64"):
        e2e_moe(**arguments, block_size=64)


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("cores", [1, 2])
def test_more_blocks_than_one_an_expert(check, dtype, cores):
    check(drawn(400, 300, 200, 2, 4, dtype), cores)


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
def test_pairs_without_an_expert_add_nothing(check):
    arguments = drawn(*SIZES)
    arguments["topk_ids"][::3, 1], arguments["topk_ids"][5] = -1, [5, -7]
    assert not check(arguments).astype(np.float32)[5].any()
    arguments["topk_ids"][:] = -1
    assert not check(arguments).astype(np.float32).any()


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
def test_a_mask_says_which_experts_are_here(check):
    arguments = drawn(*SIZES)
    rng = np.random.default_rng(0)
    arguments["topk_ids"], arguments["topk_weights"] = routed(rng, 40, 4, 12)
    mask = np.zeros(12, np.int32)
    mask[[1, 4, 5, 9, 11]] = 1
    check(arguments, expert_mask=mask)
    check(arguments, expert_mask=mask.astype(bool))


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
def test_a_shared_expert_is_one_more_id_with_weight_1(check):
    arguments = drawn(*SIZES)
    arguments["topk_ids"] = np.hstack([arguments["topk_ids"] % 4, np.full((40, 1), 4, np.int32)])
    arguments["topk_weights"] = np.hstack([arguments["topk_weights"], np.ones((40, 1), np.float32)])
    check(arguments)


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
def test_with_a_mask_and_a_shared_expert_every_choice_counts(check):
    arguments, rng = drawn(12, 64, 96, 2, 17), np.random.default_rng(0)
    ids, weights = routed(rng, 12, 8, 32)
    arguments["topk_ids"] = np.hstack([ids, np.full((12, 1), 32, np.int32)])
    arguments["topk_weights"] = np.hstack([weights, np.ones((12, 1), np.float32)])
    mask = np.arange(33) % 2 == 0  # 17 of 33, the shared expert among them
    whole = check(arguments, expert_mask=mask)
    arguments["topk_weights"][:, -1] = 0
    assert not np.array_equal(check(arguments, expert_mask=mask), whole)


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
def test_few_tokens_have_the_rows_that_they_have_among_many(check):
    arguments = drawn(300, 140, 200, 2, 5)
    rows = check(arguments)
    for M in range(1, 6):
        of_few = {n: v[:M] if n in ("hidden_states", "topk_ids", "topk_weights") else v for n, v in arguments.items()}
        np.testing.assert_array_equal(check(of_few).view(np.uint16), rows[:M].view(np.uint16))


def test_the_same_call_gives_the_same_bits_however_it_is_done():
    arguments = drawn(300, 140, 200, 3, 5)
    first = fused_moe[2](**arguments).view(np.uint16)
    np.testing.assert_array_equal(first, fused_moe[2](**arguments).view(np.uint16))
    np.testing.assert_array_equal(first, fused_moe[1](**arguments).view(np.uint16))


@pytest.mark.parametrize("doweight_stage1", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"activation": "gelu"}, {"activation": "swiglu"},
     {"activation": "swiglu", "alpha": 1.702, "limit": 7.0, "add_residual": True}],
    ids=str,
)  # fmt: skip
def test_activations_of_fused_moe(options, doweight_stage1):
    rng = np.random.default_rng(0)
    biases = ({"bias": rng.standard_normal((5, n)).astype(np.float32)} for n in (140, 200))
    check_fused(drawn(*SIZES), 2, *biases, doweight_stage1=doweight_stage1, **options)


@pytest.mark.parametrize("quantization", ["int8_w8a16", "int8_w8a8", "fp8_w8a16", "fp8_w8a8", "int4_w4a16"])
def test_quantisations_of_fused_moe_where_some_pairs_have_no_expert(quantization):
    M, N, K, k, E = 40, 160, 192, 2, 5
    arguments, rng, given = drawn(M, N, K, k, E), np.random.default_rng(0), []
    arguments["topk_ids"][::7, 1] = -1
    for name, rows, columns in (("w1", N, K), ("w2", K, N // 2)):
        scale = rng.uniform(0.5, 1.5, (E, rows)).astype(np.float32) / 100 / np.float32(columns**0.5)
        of_projection = {"b_scale": scale, "quantization": quantization}
        if quantization == "int4_w4a16":
            arguments[name] = rng.integers(0, 256, (E, rows, columns // 2)).astype(np.uint8)
            groups = rng.uniform(0.5, 1.5, (E, rows, columns // 16)).astype(np.float32) / 10
            zeros = rng.integers(0, 256, (E, rows // 2, columns // 16)).astype(np.uint8)
            of_projection |= {"b_scale": groups, "group_size": 16, "zero_point": zeros}
        elif quantization.startswith("int8"):
            arguments[name] = rng.integers(-128, 128, (E, rows, columns)).astype(np.int8)
        else:
            arguments[name] = rng.standard_normal((E, rows, columns)).astype(ml_dtypes.float8_e4m3)
            of_projection["b_scale"] = scale * 100
        if quantization == "fp8_w8a8":
            of_projection["a_scale"] = np.array([0.02], np.float32)
        given.append(of_projection)
    check_fused(arguments, 2, *given)


@pytest.mark.parametrize("check", [check_e2e, check_fused], ids=["e2e_moe", "fused_moe"])
@pytest.mark.parametrize("I", [192, 232, 352])
def test_an_intermediate_size_of_any_rank_will_do(I, check):
    check(drawn(20, 2 * I, 200, 2, 5))


@given(st.integers(1, 150), st.integers(1, 200), st.integers(1, 300), st.integers(1, 3), st.sampled_from([1, 2]))
@settings(max_examples=10, deadline=None)
def test_any_sizes_will_do(M, I, K, k, cores):
    check_fused(drawn(M, 2 * I, K, k, 3), cores)


def test_no_tokens_give_no_rows():
    arguments = drawn(0, 12, 20, 2, 3)
    assert fused_moe(**arguments).shape == (0, 20)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((5, 1), np.int32), r"expert_mask: is \[all experts\]"),
        (np.ones(5, np.float32), "expert_mask: is bool, int32"),
        (np.full(5, 2), "expert_mask: holds 0 and 1"),
        (np.ones(7, np.int32), "expert_mask: marks the 5 experts with weights; got 7"),
    ],
    ids=["shape", "type", "values", "count"],
)
def test_a_mask_that_does_not_fit_is_refused(mask, said):
    with pytest.raises(RequestError, match=said):
        fused_moe(**drawn(*SIZES), expert_mask=mask)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"activation": "relu"}, "activation: is silu, gelu, swiglu; got 'relu'"),
        ({"alpha": 2.0}, "epilogue: is swiglu with alpha, limit or add_residual"),
        ({"w2": np.zeros((5, 100, 70), BF16)}, r"w2: is \[5, 200, I\]"),
        ({"w2": np.zeros((5, 200, 71), BF16)}, r"b: is \[E, N, K\] with K = 70"),
        ({"quantization": "int8_w8a8"}, "b_scale: is given with"),
        ({"doweight_stage1": 1}, "doweight_stage1: is True or False"),
    ],
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_what_fused_moe_cannot_do_is_refused(changed, said):
    with pytest.raises(RequestError, match=said):
        fused_moe(**drawn(*SIZES) | changed)
