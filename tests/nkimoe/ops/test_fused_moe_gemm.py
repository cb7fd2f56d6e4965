"""`fused_moe_gemm` multiplies each token with each of its experts, and finishes in the order that it documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gemm_cases import BF16, FP16, check_gemm, drawn

from nkimoe.ops import fused_moe_gemm
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference
from nkimoe.reference.roofline import roofline
from nkisim import Simulator
from nkisim.machine import UsefulWork

# M, N, K, k, E: the shapes that aiter tests its own with, but for the largest.
PUBLISHED = [
    (16, 14336, 1, 2, 4), (4, 4, 8, 1, 2), (1, 14336, 128, 2, 4), (3, 14336, 128, 2, 4), (16, 14336, 128, 1, 4),
    (16, 14336, 128, 1, 1), (64, 7186, 128, 2, 8), (64, 3584, 128, 2, 8), (64, 1792, 128, 2, 8), (64, 64, 128, 2, 8),
    (1, 1024, 16384, 1, 2), (32, 1024, 512, 2, 8), (1, 1280, 8192, 1, 8),
]  # fmt: skip
LARGE = [(64, 14336, 4096, 2, 8), (128, 4096, 2048, 2, 64)]
EPILOGUES = [None, "silu", "gelu_mul", "gelu", "swiglu"]
ONES = {"topk_ids": np.zeros((1, 1), np.int32), "a": np.ones((1, 1), FP16)}


@pytest.mark.parametrize("dtype", [BF16, FP16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("epilogue", [None, "silu", "gelu"], ids=str)
@pytest.mark.parametrize("sizes", PUBLISHED, ids=str)
def test_the_published_shapes(sizes, epilogue, dtype):
    check_gemm(**drawn(*sizes, dtype), epilogue=epilogue)


@pytest.mark.parametrize("sizes", LARGE, ids=str)
def test_the_largest_published_shapes(sizes):
    check_gemm(**drawn(*sizes))


@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "unweighted"])
@pytest.mark.parametrize("cores", [1, 2])
def test_every_epilogue_with_and_without_weights(epilogue, weighted, cores):
    arguments = drawn(150, 700, 200, 2, 5)
    if not weighted:
        arguments["topk_weights"] = None
    check_gemm(cores, **arguments, epilogue=epilogue)


@pytest.mark.parametrize("options", [{"alpha": 1.702, "limit": 7.0, "add_residual": True}, {"limit": 0.5}], ids=str)
def test_the_options_of_swiglu(options):
    check_gemm(**drawn(20, 64, 100, 2, 4), epilogue="swiglu", **options)


@pytest.mark.parametrize("doweight_stage1", [False, True])
@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
def test_weights_multiply_behind_the_epilogue_or_before_the_bias(epilogue, doweight_stage1):
    bias = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    check_gemm(**drawn(20, 64, 100, 2, 4), epilogue=epilogue, bias=bias, doweight_stage1=doweight_stage1)


def one_value(value, weight, **options):
    """The result of one token whose products are all `value`."""
    b = np.full((1, 2, 1), value, FP16)
    weights = np.full((1, 1), weight, np.float32)
    return fused_moe_gemm(b=b, topk_weights=weights, **ONES, **options).reshape(-1)[0]


def test_a_weight_behind_silu_and_aiters_before_it():
    assert one_value(1, 0.5, epilogue="silu") == pytest.approx(0.36553, abs=2e-4)
    assert one_value(1, 0.5, epilogue="silu", legacy_order=True) == pytest.approx(0.15561, abs=1e-4)


def test_gelu_with_a_weight_and_aiters_without_gelu():
    assert one_value(1, 0.5, epilogue="gelu") == pytest.approx(0.42060, abs=2e-4)
    assert one_value(1, 0.5, epilogue="gelu", legacy_order=True) == 0.5


@pytest.mark.parametrize("epilogue", ["silu", "gelu"])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_legacy_order_is_that_of_its_definition(epilogue, weighted):
    arguments = drawn(20, 64, 100, 2, 4)
    if not weighted:
        arguments["topk_weights"] = None
    check_gemm(**arguments, epilogue=epilogue, legacy_order=True)


@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
def test_pairs_without_an_expert_are_zero(epilogue):
    arguments = drawn(40, 600, 100, 3, 6)
    arguments["topk_ids"][::3, 1], arguments["topk_ids"][5] = -1, [6, -7, 2**31 - 1]
    result = check_gemm(**arguments, epilogue=epilogue).astype(np.float32)
    assert not result[::3, 1].any()
    assert not result[5].any()
    assert result[1].any()


def test_only_pairs_without_an_expert_launch_nothing():
    arguments = drawn(3, 8, 8, 2, 4) | {"topk_ids": np.full((3, 2), -1, np.int32)}
    assert not fused_moe_gemm(**arguments).astype(np.float32).any()


def test_an_expert_that_a_token_lists_twice_has_both_results():
    arguments = drawn(9, 32, 64, 2, 4)
    arguments["topk_ids"][:, 1] = arguments["topk_ids"][:, 0]
    arguments["topk_weights"][:] = 0.5
    result = check_gemm(**arguments)
    np.testing.assert_array_equal(result[:, 0], result[:, 1])


@pytest.mark.parametrize("routing", ["one expert", "an expert without tokens", "int64"])
def test_routings_that_are_far_from_even(routing):
    arguments = drawn(300, 96, 64, 1, 4)
    if routing == "one expert":
        arguments["topk_ids"][:] = 2
    elif routing == "an expert without tokens":
        arguments["topk_ids"][:] = arguments["topk_ids"] // 2 * 2
    else:
        arguments["topk_ids"] = arguments["topk_ids"].astype(np.int64)
    check_gemm(**arguments)


def test_no_tokens_give_no_rows():
    result = fused_moe_gemm(**drawn(0, 6, 8, 2, 4), epilogue="silu")
    assert (result.shape, result.dtype) == ((0, 2, 3), BF16)


@given(
    st.integers(1, 150), st.integers(1, 300), st.integers(1, 400), st.integers(1, 3), st.integers(3, 9),
    st.sampled_from(EPILOGUES), st.sampled_from([BF16, FP16]), st.sampled_from([1, 2]),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_any_sizes_will_do(M, N, K, k, E, epilogue, dtype, cores):
    check_gemm(cores, **drawn(M, 2 * N, K, k, E, dtype, seed=M), epilogue=epilogue)


def test_the_same_call_gives_the_same_bits_on_one_core_and_on_two():
    arguments = drawn(200, 700, 300, 2, 4)
    first, again, alone = (fused_moe_gemm[n](**arguments).view(np.uint16) for n in (2, 2, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, alone)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("sizes", [(700, 300, 200, 2, 3), (1700, 90, 130, 2, 2)], ids=["two tiles", "four tiles"])
def test_blocks_of_several_tiles(sizes, cores):
    check_gemm(cores, **drawn(*sizes), epilogue="silu")


def test_it_does_not_depend_on_when_transfers_end():
    simulator, findings = Simulator("trn2", 2), []

    def launch(kernel, *given):
        findings.extend(simulator.compare_dma_orders(kernel, *given).findings)
        return simulator.run(kernel, *given).outputs

    for sizes in ((300, 1400, 300, 2, 4), (700, 64, 100, 2, 3), (9, 5000, 4000, 2, 3)):
        arguments = drawn(*sizes)
        arguments["topk_ids"][0, 0] = -1
        fused_moe_gemm.launched_by(launch)(**arguments)
    assert findings == []


@pytest.mark.parametrize(("sizes", "cores"), [((1024, 4096, 2048, 4, 8), 1), ((1024, 4096, 2048, 4, 8), 2)])
def test_4096_pairs_are_predicted_at_more_than_0_7_of_the_roofline(sizes, cores):
    M, N, K, k, E = sizes
    profiles, simulator = [], Simulator("trn2", cores, numerics=False)

    def launch(kernel, *given):
        run = simulator.run(kernel, *given)
        profiles.append(run.profile)
        return run.outputs

    ids = np.argsort(np.random.default_rng(0).random((M, E)), axis=1)[:, :k].astype(np.int32)
    a, b = (np.broadcast_to(BF16(0), shape) for shape in ((M, K), (E, N, K)))
    fused_moe_gemm.launched_by(launch)(a, b, ids, epilogue="silu")
    least = roofline(UsefulWork(2.0 * M * k * N * K, 0.0), "trn2", cores).latency_us
    print(f"predicted {profiles[0].latency_us:.1f} us, {least / profiles[0].latency_us:.3f} of the roofline")
    assert least / profiles[0].latency_us > 0.7


def test_torch_tensors_give_torch_tensors():
    torch = pytest.importorskip("torch")
    arguments = drawn(9, 32, 64, 2, 4, FP16)
    result = fused_moe_gemm(**{name: torch.from_numpy(value) for name, value in arguments.items()}, epilogue="silu")
    expected = fused_moe_gemm_reference(**arguments, epilogue="silu")
    assert result.dtype == torch.float16
    np.testing.assert_allclose(result.numpy(), expected, atol=2e-3)


def bytes_read(arguments):
    """From HBM, by one core."""
    runs = []
    simulator = Simulator("trn2", 1, numerics=False)

    def launch(kernel, *given):
        runs.append(simulator.run(kernel, *given))
        return runs[-1].outputs

    fused_moe_gemm.launched_by(launch)(**arguments)
    return runs[0].profile.hbm_read


def test_weights_are_loaded_once_however_many_blocks_an_expert_has():
    M, N, K, k, E = 1024, 512, 256, 2, 4
    tokens = 2 * (M * k + E * 128) * K  # gathered once a pair; blocks have pads
    assert 2 * E * N * K <= bytes_read(drawn(M, N, K, k, E)) <= 2 * E * N * K + tokens + 2**17


def test_weights_of_experts_without_tokens_are_not_loaded():
    few = drawn(9, 512, 256, 2, 4)
    many = few | {"b": np.resize(few["b"], (40, 512, 256))}
    assert bytes_read(many) == bytes_read(few)
