"""Generated routings: which experts each token lists."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def routings(draw):
    """(ids [T, K] with some outside 0..E-1, E, B); T may be less than B, ranks empty, one expert take all."""
    n_experts, n_tokens = draw(st.integers(1, 7)), draw(st.integers(1, 20))
    top_k = draw(st.integers(1, n_experts))
    ids = np.array([draw(st.permutations(range(n_experts)))[:top_k] for _ in range(n_tokens)])
    kind = draw(st.sampled_from(["all", "holes", "one expert", "empty"]))
    if kind == "holes":
        ids[np.array(draw(st.lists(st.booleans(), min_size=ids.size, max_size=ids.size))).reshape(ids.shape)] = -1
    if kind == "one expert":
        ids[:, 0], ids[:, 1:] = n_experts - 1, n_experts
    if kind == "empty":
        ids[:] = n_experts + 3
    return ids, n_experts, draw(st.integers(1, 9))


@st.composite
def expert_lists(draw, T, E, K):
    """int32 [T, K]: distinct experts in any proportion, with unrouted pairs (-1) but for at least one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    popularity = rng.gumbel(size=(T, E)) + rng.normal(size=E) * draw(st.sampled_from([0.0, 5.0]))
    ids = np.argsort(popularity, axis=1)[:, :K].astype(np.int32)
    ids[rng.random(ids.shape) < draw(st.sampled_from([0.0, 0.3]))] = -1
    if (ids < 0).all():
        ids[0, 0] = 0
    return ids
