"""The router picks the most probable experts, deterministically."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nkimoe.routing import route_softmax_top_k


def test_weights_of_a_hand_worked_token() -> None:
    weights, ids = route_softmax_top_k(np.log([[0.1, 0.4, 0.2, 0.3]]), top_k=2, renormalize=False)
    assert ids.tolist() == [[1, 3]]
    np.testing.assert_allclose(weights, [[0.4, 0.3]], rtol=1e-6)


def test_renormalized_weights_sum_to_one() -> None:
    weights, _ = route_softmax_top_k(np.log([[0.1, 0.4, 0.2, 0.3]]), top_k=2)
    np.testing.assert_allclose(weights, [[4 / 7, 3 / 7]], rtol=1e-6)


def test_results_are_float32_and_int32_whatever_the_logits_are() -> None:
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        weights, ids = route_softmax_top_k(np.zeros((3, 4), dtype), top_k=2)
        assert (weights.dtype, weights.shape, ids.dtype, ids.shape) == (np.float32, (3, 2), np.int32, (3, 2))


def test_tied_experts_come_lowest_id_first() -> None:
    _, ids = route_softmax_top_k(np.array([[1.0, 2.0, 2.0, 1.0, 2.0], [0.0] * 5]), top_k=4)
    assert ids.tolist() == [[1, 2, 4, 0], [0, 1, 2, 3]]


def test_distinct_logits_of_equal_probability_are_a_tie() -> None:
    _, ids = route_softmax_top_k(np.array([[-400.0, -300.0, 0.0]]), top_k=2)
    assert ids.tolist() == [[2, 0]]


def test_a_masked_expert_has_weight_zero_and_comes_last() -> None:
    weights, ids = route_softmax_top_k(np.array([[-math.inf, 0.0, 0.0]]), top_k=3)
    assert ids.tolist() == [[1, 2, 0]]
    assert weights.tolist() == [[0.5, 0.5, 0.0]]


def test_huge_logits_do_not_overflow() -> None:
    weights, ids = route_softmax_top_k(np.array([[1e38, -1e38, 1.0]]), top_k=1)
    assert (ids.tolist(), weights.tolist()) == ([[0]], [[1.0]])


def test_no_tokens_give_no_rows() -> None:
    weights, ids = route_softmax_top_k(np.zeros((0, 4)), top_k=2)
    assert weights.shape == ids.shape == (0, 2)


@pytest.mark.parametrize("top_k", [0, -1, 5])
def test_top_k_outside_the_experts_is_refused(top_k: int) -> None:
    with pytest.raises(ValueError, match=rf"top_k must be in 1\.\.E = 1\.\.4, got {top_k}"):
        route_softmax_top_k(np.zeros((2, 4)), top_k)


def test_logits_that_are_not_a_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[T, E\], got \(2, 3, 4\)"):
        route_softmax_top_k(np.zeros((2, 3, 4)), 1)


@pytest.mark.parametrize("row", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_a_token_without_a_usable_logit_is_refused_by_row(row: list[float]) -> None:
    with pytest.raises(ValueError, match=r"finite largest value .* in row 1"):
        route_softmax_top_k(np.array([[0.0, 1.0], row]), 1)


LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.integers(1, 9)),
    elements=st.floats(-80, 80, width=32) | st.sampled_from([0.0, 1.0]),
)


@settings(max_examples=60, deadline=None, database=None)
@given(LOGITS, st.data())
def test_every_token_gets_its_k_most_probable_experts(logits: np.ndarray, data: st.DataObject) -> None:
    n_experts = logits.shape[1]
    top_k = data.draw(st.integers(1, n_experts))
    weights, ids = route_softmax_top_k(logits, top_k, renormalize=False)
    for row, (row_weights, row_ids) in enumerate(zip(weights, ids, strict=True)):
        exponentials = [math.exp(float(x) - float(max(logits[row]))) for x in logits[row]]
        expected = np.array(exponentials) / sum(exponentials)
        assert len(set(row_ids.tolist())) == top_k
        np.testing.assert_allclose(row_weights, expected[row_ids], rtol=1e-5, atol=1e-37)
        np.testing.assert_allclose(row_weights, np.sort(expected)[::-1][:top_k], rtol=1e-5, atol=1e-37)
        ties = row_weights[1:] == row_weights[:-1]
        assert np.all(np.diff(row_ids)[ties] > 0)
