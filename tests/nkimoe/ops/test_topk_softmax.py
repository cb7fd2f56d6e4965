"""`topk_softmax` gives each token its most probable experts, whatever the shape, the type and the stride."""

import math
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe import InputError, RequestError
from nkimoe.cli.op.inputs import SEED, distinct_logits
from nkimoe.ops import topk_softmax
from nkimoe.reference.routing_ops import WEIGHT_TOLERANCE, topk_softmax_reference
from nkimoe.routing import RoutingRule, on_device

# T, E, K, stride of logits, stride of results: the matrix that Composable Kernel tests its own with.
PUBLISHED = [
    (80, 17, 2), (111, 117, 2), (1000, 55, 2), (99, 180, 2), (175, 64, 8), (65, 8, 2), (1, 25, 2), (31, 19, 15),
    (81, 37, 7), (199, 128, 13), (23, 1, 1), (127, 99, 19, 233, 31), (71, 11, 11, 30, 12), (1, 1, 1),
    (99, 2, 1, 11, 5), (333, 99, 13, 191, 17),
]  # fmt: skip
TOLERANCE = {np.float16: 1e-3, ml_dtypes.bfloat16: 1e-2, np.float32: 1e-5}


def distinct(n_tokens, n_experts, dtype):
    return distinct_logits(np.random.default_rng(SEED), n_tokens, n_experts, dtype)


def check(logits, top_k, renormalize=False, tolerance=WEIGHT_TOLERANCE, cores=1, **options):
    weights, ids = topk_softmax[cores](logits, top_k, renormalize=renormalize, **options)
    expected_weights, expected_ids = topk_softmax_reference(logits, top_k, renormalize)
    assert (weights.dtype, ids.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(weights, expected_weights, rtol=tolerance, atol=1e-30)
    return weights, ids


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("shape", PUBLISHED, ids=str)
def test_the_published_matrix_of_shapes_and_strides(shape, dtype):
    n_tokens, n_experts, top_k, *strides = shape
    stride_in, stride_out = strides or (n_experts, None)
    buffer = np.full((n_tokens, stride_in), np.nan, dtype)  # what lies between rows is not read
    buffer[:, :n_experts] = distinct(n_tokens, n_experts, dtype)
    weights, ids = check(buffer[:, :n_experts], top_k, tolerance=TOLERANCE[dtype], out_stride=stride_out)
    for result in (weights, ids):
        assert result.shape == (n_tokens, top_k)
        assert result.strides == (4 * (stride_out or top_k), 4)


def test_a_token_worked_by_hand():
    weights, ids = topk_softmax(np.log([[0.1, 0.4, 0.2, 0.3]]).astype(np.float32), 2)
    assert ids.tolist() == [[1, 3]]
    np.testing.assert_allclose(weights, [[0.4, 0.3]], rtol=1e-6)


def test_renormalised_weights_sum_to_one():
    weights, _ = topk_softmax(np.log([[0.1, 0.4, 0.2, 0.3]]).astype(np.float32), 2, renormalize=True)
    np.testing.assert_allclose(weights, [[4 / 7, 3 / 7]], rtol=1e-6)


def test_equal_probabilities_take_the_lowest_ids():
    _, ids = topk_softmax(np.array([[1, 2, 2, 1, 2], [0, 0, 0, 0, 0]], np.float32), 4)
    assert ids.tolist() == [[1, 2, 4, 0], [0, 1, 2, 3]]


def test_different_logits_whose_probabilities_underflow_are_a_tie():
    weights, ids = topk_softmax(np.array([[-400, -300, 0]], np.float32), 2)
    assert (weights.tolist(), ids.tolist()) == ([[1, 0]], [[2, 0]])


def test_a_masked_expert_comes_last_with_weight_0():
    weights, ids = topk_softmax(np.array([[-math.inf, 0, 0]], np.float32), 3)
    assert (weights.tolist(), ids.tolist()) == ([[0.5, 0.5, 0]], [[1, 2, 0]])


@pytest.mark.parametrize("stride", [None, 3])
def test_no_tokens_give_no_rows(stride):
    weights, ids = topk_softmax(np.zeros((0, 4), np.float32), 2, out_stride=stride)
    assert weights.shape == ids.shape == (0, 2)
    assert (weights.dtype, ids.dtype) == (np.float32, np.int32)


def test_what_lies_between_rows_of_the_results_is_0():
    weights, ids = topk_softmax(np.ones((3, 4), np.float32), 2, out_stride=5)
    for result in (weights, ids):
        assert result.base.shape == (3, 5)
        assert not result.base[:, 2:].any()


LEVELS = [-math.inf, -100.0, -1.5, -1.0, 0.0, 0.25, 2.0, 3.0]  # far enough apart that fp32 does not decide otherwise


@st.composite
def calls(draw):
    n_tokens, n_experts = draw(st.integers(1, 6)), draw(st.integers(1, 20))
    row = st.lists(st.sampled_from(LEVELS), min_size=n_experts, max_size=n_experts)
    rows = draw(st.lists(row.filter(lambda r: max(r) > -math.inf), min_size=n_tokens, max_size=n_tokens))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    return np.array(rows).astype(dtype), draw(st.integers(1, n_experts)), draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(calls(), st.sampled_from([1, 2]))
def test_every_token_gets_what_the_definition_says(call, cores):
    check(*call, cores=cores)


@settings(max_examples=40, deadline=None)
@given(calls(), st.randoms(use_true_random=False))
def test_the_order_of_tokens_is_only_the_order_of_rows(call, random):
    logits, top_k, renormalize = call
    order = random.sample(range(len(logits)), len(logits))
    weights, ids = topk_softmax(logits, top_k, renormalize=renormalize)
    weights_too, ids_too = topk_softmax(logits[order], top_k, renormalize=renormalize)
    np.testing.assert_array_equal(ids_too, ids[order])
    np.testing.assert_array_equal(weights_too, weights[order])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_torch_in_gives_torch_out(dtype):
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 1.0]], dtype=getattr(torch, dtype))
    for given_logits, stride in ((logits, None), (logits, 4), (logits[:0], None)):
        weights, ids = topk_softmax(given_logits, 2, out_stride=stride)
        assert (weights.dtype, ids.dtype) == (torch.float32, torch.int32)
        assert ids.tolist() == [[1, 2], [0, 1]][: len(given_logits)]
        assert not len(weights) or weights.stride(0) == (stride or 2)


@pytest.mark.parametrize(
    ("logits", "options", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), {}, r"logits: is \[T, E\]; got \(2, 3, 4\). Flatten"),
        (np.zeros((2, 4)), {}, "logits: is float32, bfloat16, float16; got float64. Cast it."),
        (np.zeros((2, 4), np.int32), {}, "got int32"),
        ([[0.0, 1.0]], {}, "logits: is a NumPy array or a torch tensor; got list"),
        (np.zeros((2, 0), np.float32), {}, "has 1 to 4096 experts; got 0"),
        (np.zeros((2, 4097), np.float32), {}, "has 1 to 4096 experts; got 4097"),
        (np.zeros((2, 4), np.float32), {"top_k": 5}, r"top_k: is in 1..E = 1..4; got 5"),
        (np.zeros((2, 4), np.float32), {"top_k": 0}, "got 0"),
        (np.zeros((0, 4), np.float32), {"top_k": 5}, "got 5"),
        (np.zeros((2, 4), np.float32), {"top_k": 2.0}, "got 2.0"),
        (np.zeros((2, 4), np.float32), {"top_k": True}, "got True"),
        (np.zeros((2, 4), np.float32), {"out_stride": 1}, "out_stride: is top_k = 2 or more; got 1"),
        (np.zeros((2, 4), np.float32), {"renormalize": None}, "renormalize: is True or False; got None"),
    ],
)
def test_what_cannot_be_routed_is_refused_by_name(logits, options, message):
    with pytest.raises(RequestError, match=message):
        topk_softmax(logits, **{"top_k": 2, **options})


@pytest.mark.parametrize("cores", [0, 3, True, 1.0, None])
def test_a_number_of_cores_that_no_launch_has_is_refused(cores):
    with pytest.raises(RequestError, match="cores: is 1 or 2; got"):
        topk_softmax[cores]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("value", "said"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_value_that_means_nothing_is_refused_by_token_and_expert(value, said, dtype):
    logits = np.zeros((3, 4), dtype)
    logits[1, 2] = value
    with pytest.raises(InputError, match=f"got {said} for token 1, expert 2. Mask an expert with -inf"):
        topk_softmax(logits, 2)


def test_a_finite_logit_that_the_kernel_would_take_for_masked_is_refused():
    with pytest.raises(InputError, match=r"above -3e\+38; got -3\.[12]"):
        topk_softmax(np.array([[0, -3.2e38]], np.float32), 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_on_the_device_a_row_that_means_nothing_leaves_the_others_right(value):
    logits = distinct(140, 9, np.float32)
    expected = topk_softmax(logits, 3)
    logits[[1, 130]] = value
    others = ~np.isin(np.arange(140), [1, 130])
    kernel = on_device.route(logits, RoutingRule(3, renormalize=False))
    for result, wanted in zip(kernel, expected, strict=True):
        np.testing.assert_array_equal(result[others], wanted[others])


def test_torch_is_not_imported_before_it_is_needed():
    program = "import sys, nkimoe.ops; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_token_without_an_expert_is_refused_by_row():
    with pytest.raises(InputError, match="leaves each token an expert; got only -inf in row 1"):
        topk_softmax(np.array([[0, 1], [-math.inf, -math.inf]], np.float32), 1)
