"""`routing_sigmoid_top1` chooses by logits, the lowest id of equal ones, and weighs by their sigmoid."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe import InputError, RequestError
from nkimoe.ops import routing_sigmoid_top1
from nkimoe.reference.routing_ops import routing_sigmoid_top1_reference
from nkisim import Simulator

DTYPES = {"fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}
WEIGHT_TOLERANCE = 1e-6


def drawn(M, N, K, dtype=np.float32, seed=0):
    """Small integers, as aiter draws them: all sums are exact, and many are equal."""
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, (M, K)).astype(dtype), rng.integers(-2, 3, (K, N)).astype(dtype)


def check(x, w, fused_shared_experts=False, cores=1):
    weights, ids = routing_sigmoid_top1[cores](x, w, fused_shared_experts=fused_shared_experts)
    expected_weights, expected_ids = routing_sigmoid_top1_reference(x, w, fused_shared_experts)
    assert (weights.dtype, ids.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(weights, expected_weights, rtol=WEIGHT_TOLERANCE, atol=1e-30)
    return weights, ids


@pytest.mark.parametrize("shared", [False, True], ids=["routed", "shared"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("K", [16, 128])
@pytest.mark.parametrize("N", [16, 128])
@pytest.mark.parametrize("M", [128, 1024])
def test_the_published_shapes(M, N, K, dtype, shared):
    check(*drawn(M, N, K, dtype), shared, cores=2)


def test_the_largest_published_shape():
    check(*drawn(8192, 128, 128), cores=2)


SIZES = [(1, 1, 1), (5, 7, 3), (130, 9, 129), (3, 700, 200), (2, 4096, 5), (127, 24, 4225)]


@pytest.mark.parametrize(("M", "N", "K"), SIZES)
def test_any_sizes_will_do(M, N, K):
    check(*drawn(M, N, K), fused_shared_experts=True)


@given(st.integers(1, 140), st.integers(1, 40), st.integers(1, 300), st.sampled_from([*DTYPES]), st.booleans())
@settings(max_examples=15, deadline=None)
def test_any_request_gives_what_the_definition_gives(M, N, K, dtype, shared):
    check(*drawn(M, N, K, DTYPES[dtype], seed=M), shared)


def test_a_router_too_large_to_stay_is_loaded_again_for_each_tile_of_tokens():
    x, w = drawn(200, 3000, 1500)
    check(x, w)
    run = Simulator("trn2", 1, numerics=False).run
    read = []
    routing_sigmoid_top1.launched_by(lambda *given: read.append(run(*given).profile.hbm_read) or (None, None))(x, w)
    assert read == [x.nbytes + 2 * w.nbytes]


def test_saturated_logits_are_no_tie():
    x, w = np.eye(2, dtype=np.float32), np.array([[30, 40], [40, 30]], np.float32)
    weights, ids = routing_sigmoid_top1(x, w)
    assert (weights.tolist(), ids.tolist()) == ([[1], [1]], [[1], [0]])


def test_equal_logits_take_the_lowest_id():
    assert routing_sigmoid_top1(np.ones((1, 4), np.float32), np.ones((4, 9), np.float32))[1].tolist() == [[0]]


@pytest.mark.parametrize("M", [1, 3, 131])
def test_there_is_a_row_for_each_token_and_none_behind(M):
    weights, ids = check(*drawn(M, 16, 128))
    assert weights.shape == ids.shape == (M, 1)


def test_the_shared_expert_follows_the_routed_ones_with_weight_1():
    weights, ids = check(*drawn(5, 16, 16), fused_shared_experts=True)
    assert ids[:, 1].tolist() == [16] * 5
    assert weights[:, 1].tolist() == [1] * 5


def test_a_token_without_a_good_expert_still_has_one():
    weights, ids = routing_sigmoid_top1(np.ones((1, 1), np.float32), np.full((1, 3), -200, np.float32))
    assert (weights.tolist(), ids.tolist()) == ([[0]], [[0]])


def test_no_tokens_give_no_rows():
    x, w = drawn(0, 4, 8)
    for result in routing_sigmoid_top1(x, w, fused_shared_experts=True):
        assert result.shape == (0, 2)


def test_torch_tensors_give_torch_tensors():
    torch = pytest.importorskip("torch")
    x, w = (torch.from_numpy(each).bfloat16() for each in drawn(9, 5, 12))
    weights, ids = routing_sigmoid_top1(x, w)
    assert (weights.dtype, ids.dtype) == (torch.float32, torch.int32)
    expected = routing_sigmoid_top1_reference(*(each.float().numpy() for each in (x, w)))
    np.testing.assert_array_equal(ids.numpy(), expected[1])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": np.zeros(4, np.float32)}, r"x: is \[M, K\], K of 1 or more; got \(4,\)"),
        ({"x": np.zeros((2, 4), np.int32)}, "x: is float32, bfloat16, float16; got int32"),
        ({"w": np.zeros((5, 4), np.float32)}, r"w: is \[4, N\], N from 1 to 4096; got \(5, 4\)"),
        ({"w": np.zeros((4, 4097), np.float32)}, r"w: is \[4, N\], N from 1 to 4096"),
        ({"w": np.zeros((4, 3), np.float16)}, "w: has the type of x, float32; got float16"),
        ({"fused_shared_experts": 1}, "fused_shared_experts: is True or False; got 1"),
    ],
    ids=str,
)
def test_what_it_cannot_do_is_refused(changed, said):
    arguments = {"x": np.zeros((2, 4), np.float32), "w": np.zeros((4, 3), np.float32)} | changed
    with pytest.raises(RequestError, match=said):
        routing_sigmoid_top1(**arguments)


@pytest.mark.parametrize(("name", "value"), [("x", np.nan), ("w", np.inf)])
def test_values_without_a_logit_are_refused(name, value):
    arguments = {"x": np.ones((2, 4), np.float32), "w": np.ones((4, 3), np.float32)}
    arguments[name][1, 2] = value
    with pytest.raises(InputError, match=f"{name}: is finite"):
        routing_sigmoid_top1(**arguments)


def test_logits_beyond_fp32_are_refused():
    large = np.full((2, 2), 1e19, np.float32)
    routing_sigmoid_top1(large, large / 1e3)
    with pytest.raises(InputError, match="w: gives logits up to"):
        routing_sigmoid_top1(large, large)
