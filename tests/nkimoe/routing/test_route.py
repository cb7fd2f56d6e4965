"""Every routing scheme chooses what its description says, in NumPy, in torch and on the device."""

import numpy as np
import pytest
from hypothesis import given, settings

from nkimoe.errors import RequestError
from nkimoe.routing import GroupScore, RoutingRule, Score, on_device, route

from .brute_force import brute_force, cases


def check(weights, ids, logits, rule, bias):
    expected = [brute_force(row, rule, bias or [0.0] * len(row)) for row in logits]
    for t, (expected_weights, expected_ids) in enumerate(expected):
        for k, (weight, expert) in enumerate(zip(expected_weights, expected_ids, strict=True)):
            if weight != 0 or rule.groups == 1:  # which masked experts fill up a row means nothing
                assert ids[t][k] == expert
    np.testing.assert_allclose(weights, [w for w, _ in expected], rtol=2e-6, atol=1e-7)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_numpy_agrees_with_brute_force(case):
    logits, rule, bias = case
    weights, ids = route(np.array(logits), rule, None if bias is None else np.array(bias))
    check(weights, ids, logits, rule, bias)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_torch_agrees_with_brute_force(case):
    torch = pytest.importorskip("torch")
    from nkimoe.pytorch import route as route_torch

    logits, rule, bias = case
    weights, ids = route_torch(torch.tensor(logits), rule, None if bias is None else torch.tensor(bias))
    check(weights.numpy(), ids.numpy(), logits, rule, bias)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_the_kernel_agrees_with_numpy_and_brute_force(case):
    logits, rule, bias = case
    check_kernel(np.array(logits), rule, None if bias is None else np.array(bias))
    weights, ids = on_device.route(np.array(logits, np.float32), rule, *([np.array(bias, np.float32)] if bias else []))
    check(weights, ids, logits, rule, bias)


def check_kernel(logits, rule, bias=None, cores=1):
    """The same ids as NumPy to the last, those that fill up a row included."""
    given = [logits if logits.dtype == np.float16 else logits.astype(np.float32), rule]
    weights, ids = on_device.route[cores](*given, *([] if bias is None else [bias.astype(np.float32)]))
    expected_weights, expected_ids = route(logits, rule, bias)
    assert (weights.dtype, ids.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(weights, expected_weights, rtol=3e-6, atol=1e-30)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("score", Score)
def test_the_kernel_agrees_with_numpy_over_tiles_of_tokens_and_masked_experts(score, cores):
    rng = np.random.default_rng(0)
    rule = RoutingRule(
        6, score, score is not Score.IDENTITY, 2.5, groups=8, top_groups=3, group_score=GroupScore.TOP_2_SUM
    )
    logits = rng.standard_normal((300, 64)) * 3
    logits[:, 1:][rng.random((300, 63)) < 0.3] = -np.inf
    check_kernel(logits, rule, rng.standard_normal(64), cores)
    check_kernel(logits.astype(np.float16), RoutingRule(12, score, score is not Score.IDENTITY), cores=cores)


@pytest.mark.parametrize(
    ("logits", "top_k"),
    [
        (np.zeros((2, 3)), 3),
        (np.zeros((1, 40)), 40),
        (np.array([[100.0, 90.0, 17.0, 16.0, 20.0, 18.0]]), 4),
        (np.array([[-100.0, -90.0, -104.0, -80.0, -120.0]]), 3),
        (np.array([[-np.inf, -1e30, -np.inf, 5.0]]), 4),
        (np.array([[-0.0, 0.0, -0.0]]), 2),
    ],
    ids=["fewer than eight", "all of forty", "saturated", "underflown", "masked", "zeros of both signs"],
)
@pytest.mark.parametrize("score", [Score.SOFTMAX, Score.SIGMOID, Score.SOFTMAX_OF_CHOSEN])
def test_the_kernel_breaks_ties_as_numpy_does(logits, top_k, score):
    check_kernel(logits, RoutingRule(top_k, score))
    check_kernel(logits, RoutingRule(top_k, score), bias=np.zeros(logits.shape[1]))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((np.zeros((4, 16), np.float32), RoutingRule(17)), "top_k must be in"),
        ((np.zeros((4, 16), np.int32), RoutingRule(2)), "is float32, bfloat16, float16"),
        ((np.zeros((4, 4097), np.float32), RoutingRule(2)), "up to 4096 experts"),
        ((np.zeros((4, 16), np.float32), RoutingRule(2), np.zeros(15, np.float32)), "is float32 .16."),
        ((np.zeros(16, np.float32), RoutingRule(2)), "must be .T, E."),
    ],
)
def test_what_the_kernel_cannot_route_is_refused(arguments, rule):
    with pytest.raises(RequestError, match=rule):
        on_device.route(*arguments)


@pytest.mark.parametrize("router", [route, on_device.route], ids=["NumPy", "kernel"])
@pytest.mark.parametrize("score", Score)
@pytest.mark.parametrize("groups", [1, 4])
def test_all_tied_takes_the_lowest_ids(router, score, groups):
    rule = RoutingRule(3, score, groups=groups, top_groups=min(2, groups), group_score=GroupScore.TOP_2_SUM)
    weights, ids = router(np.full((2, 8), 1.5, np.float32), rule)
    assert ids.tolist() == [[0, 1, 2]] * 2
    np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)


def test_a_bias_larger_than_all_scores_chooses_but_does_not_weigh():
    rule = RoutingRule(1, Score.SIGMOID, renormalize=False)
    weights, ids = route(np.array([[3.0, -3.0]]), rule, np.array([0.0, 100.0]))
    assert ids.tolist() == [[1]]
    np.testing.assert_allclose(weights, [[1 / (1 + np.exp(3))]], rtol=1e-6)


def test_scores_that_underflow_to_a_sum_of_zero_give_zeros_not_nan():
    weights, _ = route(np.full((1, 4), -200.0), RoutingRule(2, Score.SIGMOID))
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k must be in"),
        ({"top_k": 1, "groups": 2, "top_groups": 3}, "top_groups must be in"),
        ({"top_k": 9}, "top_k must be in"),
        ({"top_k": 1, "groups": 3}, "must divide E = 8"),
        ({"top_k": 3, "groups": 4}, "must hold top_k = 3"),
        ({"top_k": 1, "groups": 8, "group_score": GroupScore.TOP_2_SUM}, "groups of two experts"),
    ],
)
def test_rules_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        route(np.zeros((2, 8)), RoutingRule(**arguments))
