"""The router kernel chooses exactly the experts of the NumPy router."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe.errors import RequestError
from nkimoe.route_top_k import route_top_k
from nkimoe.routing import route_softmax_top_k


def check(logits, top_k, renormalize=True, cores=1):
    weights, ids = route_top_k[cores](logits.astype(np.float32), top_k, renormalize)
    expected_weights, expected_ids = route_softmax_top_k(logits, top_k, renormalize)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(weights, expected_weights, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("renormalize", [True, False])
def test_several_tiles_of_tokens(cores, renormalize):
    check(np.random.default_rng(0).standard_normal((300, 128)), 8, renormalize, cores)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(8, 20), st.integers(1, 8), st.data())
def test_ties_and_masks(n_tokens, n_experts, top_k, data):
    values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, 30.0, -np.inf])
    rows = st.lists(values, min_size=n_experts, max_size=n_experts).filter(lambda row: max(row) > -np.inf)
    check(np.array(data.draw(st.lists(rows, min_size=n_tokens, max_size=n_tokens))), top_k)


@pytest.mark.parametrize(
    ("shape", "dtype", "top_k", "rule"),
    [((4, 16), np.float32, 9, "top_k: is 1 to 8"), ((4, 16), np.float32, 0, "top_k: is 1 to 8"),
     ((4, 7), np.float32, 2, "8 to 16384 experts"), ((4, 16), np.float16, 2, "is float32")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(shape, dtype, top_k, rule):
    with pytest.raises(RequestError, match=rule):
        route_top_k(np.zeros(shape, dtype), top_k)
