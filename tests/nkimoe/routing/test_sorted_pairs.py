"""Other systems' forms of the mapping name every routed pair once, by expert."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe.routing import moe_align_block_size, moe_sorting


@st.composite
def routings(draw):
    n_experts, n_tokens = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    top_k = draw(st.integers(1, n_experts))
    kind = draw(st.sampled_from(["any", "one expert", "another rank's"]))
    ids = [draw(st.permutations(range(n_experts)))[:top_k] for _ in range(n_tokens)]
    ids = np.array(ids)
    if kind == "one expert":
        ids[:, 0], ids[:, 1:] = n_experts - 1, -1
    if kind == "another rank's":
        ids += n_experts
    return ids, n_experts, draw(st.integers(1, 8))


def pairs_by_expert(ids, n_experts):
    return [[i for i, e in enumerate(ids.ravel()) if e == expert] for expert in range(n_experts)]


@settings(max_examples=200, deadline=None)
@given(routings())
def test_aligned_ids_are_each_experts_pairs_filled_up_to_blocks(routing):
    ids, n_experts, block = routing
    aligned = moe_align_block_size(ids, n_experts, block)
    expected, experts, real = [], [], []
    for expert, pairs in enumerate(pairs_by_expert(ids, n_experts)):
        for at in range(0, len(pairs), block):
            part = pairs[at : at + block]
            expected += part + [ids.size] * (block - len(part))
            experts.append(expert)
            real.append(len(part))
    assert aligned.num_tokens_post_pad == len(expected)
    assert aligned.sorted_ids.tolist()[: len(expected)] == expected
    assert set(aligned.sorted_ids.tolist()[len(expected) :]) <= {ids.size}
    assert aligned.expert_ids.tolist() == experts + [-1] * (len(aligned.expert_ids) - len(experts))
    assert np.diff(aligned.offsets).tolist()[: len(real)] == real
    assert aligned.offsets[-1] == sum(real)


@settings(max_examples=100, deadline=None)
@given(routings())
def test_packed_ids_hold_token_and_choice_and_carry_the_weight(routing):
    ids, n_experts, block = routing
    weights = np.arange(1, ids.size + 1, dtype=np.float32).reshape(ids.shape)
    packed = moe_sorting(ids, weights, n_experts, block)
    aligned = moe_align_block_size(ids, n_experts, block)
    for row, pair in enumerate(aligned.sorted_ids):
        token, choice = packed.sorted_token_ids[row] & 0xFFFFFF, packed.sorted_token_ids[row] >> 24
        if pair == ids.size:
            assert (token, choice, packed.sorted_weights[row]) == (len(ids), ids.shape[1], 0)
        else:
            assert token * ids.shape[1] + choice == pair
            assert packed.sorted_weights[row] == weights.ravel()[pair]


def test_an_expert_that_a_token_lists_twice_has_two_rows():
    aligned = moe_align_block_size(np.array([[1, 1], [0, 1]]), 2, 4)
    assert aligned.sorted_ids.tolist()[:8] == [2, 4, 4, 4, 0, 1, 3, 4]
    assert (aligned.expert_ids.tolist()[:2], aligned.num_tokens_post_pad) == ([0, 1], 8)


def test_a_token_that_does_not_fit_24_bits_is_refused():
    ids = np.broadcast_to(np.zeros((1, 1), np.int32), (1 << 24, 1))
    with pytest.raises(ValueError, match=r"T below 2\*\*24"):
        moe_sorting(ids, ids, 1, 128)
