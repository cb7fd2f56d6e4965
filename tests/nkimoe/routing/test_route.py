"""Every routing scheme chooses what its description says, in NumPy and in torch."""

import numpy as np
import pytest
from hypothesis import given, settings

from nkimoe.routing import GroupScore, RoutingRule, Score, route

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


@pytest.mark.parametrize("score", Score)
@pytest.mark.parametrize("groups", [1, 4])
def test_all_tied_takes_the_lowest_ids(score, groups):
    rule = RoutingRule(3, score, groups=groups, top_groups=min(2, groups), group_score=GroupScore.TOP_2_SUM)
    weights, ids = route(np.full((2, 8), 1.5), rule)
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
