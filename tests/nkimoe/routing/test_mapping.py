"""Every routed pair gets exactly one slot, in order, and the static number of blocks always suffices."""

import dataclasses
import itertools

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe.routing import BlockMapping, build_block_mapping, scatter_affinities, static_block_count

Ids = npt.NDArray[np.int32]


@st.composite
def routings(draw: st.DrawFn) -> tuple[Ids, int, int]:
    """expert_ids [T, K] with distinct local experts a row and sentinels between, E, block size."""
    n_tokens, top_k = draw(st.integers(0, 14)), draw(st.integers(0, 4))
    n_experts, block_size = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 3, 4, 8]))
    pool = [*range(n_experts), *(-1 - k for k in range(top_k)), *(n_experts + k for k in range(top_k))]
    row = st.lists(st.sampled_from(pool), min_size=top_k, max_size=top_k, unique=True)
    rows = draw(st.lists(row, min_size=n_tokens, max_size=n_tokens))
    return np.array(rows, np.int32).reshape(n_tokens, top_k), n_experts, block_size


def pairs_of(expert_ids: Ids, n_experts: int) -> list[tuple[int, int]]:
    return [(e, t) for t, row in enumerate(expert_ids.tolist()) for e in row if 0 <= e < n_experts]


def placed_pairs(mapping: BlockMapping, block_size: int, n_tokens: int) -> list[tuple[int, int]]:
    blocks = mapping.token_position_to_id.reshape(-1, block_size).tolist()
    experts = mapping.block_to_expert.tolist()
    return [(e, t) for e, block in zip(experts, blocks, strict=True) for t in block if 0 <= t < n_tokens]


@settings(max_examples=200, deadline=None, database=None)
@given(routings(), st.booleans())
def test_every_routed_pair_sits_in_one_slot_sorted_by_expert_then_token(
    routing: tuple[Ids, int, int], skip_token: bool
) -> None:
    expert_ids, n_experts, block_size = routing
    mapping = build_block_mapping(expert_ids, n_experts, block_size, skip_token=skip_token)
    assert placed_pairs(mapping, block_size, len(expert_ids)) == sorted(pairs_of(expert_ids, n_experts))


@settings(max_examples=200, deadline=None, database=None)
@given(routings(), st.booleans())
def test_blocks_are_filled_from_the_front_and_padded_with_the_pad_id(
    routing: tuple[Ids, int, int], skip_token: bool
) -> None:
    expert_ids, n_experts, block_size = routing
    mapping = build_block_mapping(expert_ids, n_experts, block_size, skip_token=skip_token)
    blocks = mapping.token_position_to_id.reshape(-1, block_size)
    pad = blocks == (-1 if skip_token else len(expert_ids))
    assert np.all(pad | ((blocks >= 0) & (blocks < len(expert_ids))))
    assert np.all(pad[:, 1:] >= pad[:, :-1])
    same_expert_as_next = mapping.block_to_expert[:-1] == mapping.block_to_expert[1:]
    next_has_tokens = ~pad[1:, 0]
    assert not pad[:-1][same_expert_as_next & next_has_tokens].any(), "padding before an expert's last block"


@settings(max_examples=200, deadline=None, database=None)
@given(routings(), st.integers(0, 3))
def test_counts_conditions_and_surplus_blocks_agree(routing: tuple[Ids, int, int], extra: int) -> None:
    expert_ids, n_experts, block_size = routing
    needed = build_block_mapping(expert_ids, n_experts, block_size).n_real_blocks
    mapping = build_block_mapping(expert_ids, n_experts, block_size, n_blocks=needed + extra)
    pairs = pairs_of(expert_ids, n_experts)
    counts = [sum(e == expert for e, _ in pairs) for expert in range(n_experts)]
    assert needed == sum(-(-count // block_size) for count in counts)
    assert mapping.conditions.tolist() == [1] * needed + [0] * (extra + 1)
    expected = [e for e, count in enumerate(counts) for _ in range(-(-count // block_size))]
    assert mapping.block_to_expert.tolist() == expected + [n_experts - 1] * extra
    assert mapping.n_real_slots == len(pairs)
    assert mapping.fill == len(pairs) / max(1, (needed + extra) * block_size)
    for array in (mapping.token_position_to_id, mapping.block_to_expert, mapping.conditions):
        assert array.dtype == np.int32


def test_an_expert_with_no_tokens_has_no_block() -> None:
    mapping = build_block_mapping(np.array([[0, 3], [3, 0]]), n_experts=5, block_size=2, n_blocks=2)
    assert mapping.block_to_expert.tolist() == [0, 3]
    assert mapping.token_position_to_id.tolist() == [0, 1, 0, 1]


def test_one_expert_can_take_every_token() -> None:
    mapping = build_block_mapping(np.full((10, 1), 2), n_experts=4, block_size=4)
    assert mapping.token_position_to_id[:12].tolist() == [*range(10), -1, -1]
    assert mapping.block_to_expert[:3].tolist() == [2, 2, 2]
    assert (mapping.n_real_blocks, len(mapping.block_to_expert)) == (3, 5)


def test_fewer_tokens_than_a_block_leave_the_rest_padded() -> None:
    mapping = build_block_mapping(np.array([[1], [0]]), n_experts=2, block_size=128, skip_token=False)
    blocks = mapping.token_position_to_id.reshape(2, 128)
    assert blocks[:, 0].tolist() == [1, 0]
    assert np.all(blocks[:, 1:] == 2)


def test_fewer_local_experts_than_choices() -> None:
    mapping = build_block_mapping(np.array([[5, 0, 7, 1], [1, 9, 8, -1]]), n_experts=2, block_size=2)
    assert mapping.token_position_to_id.reshape(-1, 2).tolist() == [[0, -1], [0, 1], [-1, -1]]
    assert mapping.block_to_expert.tolist() == [0, 1, 1]


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_no_pairs_give_no_blocks(shape: tuple[int, int]) -> None:
    mapping = build_block_mapping(np.zeros(shape, np.int32), n_experts=4, block_size=128)
    assert (mapping.token_position_to_id.size, mapping.block_to_expert.size) == (0, 0)
    assert (mapping.conditions.tolist(), mapping.fill) == ([0], 0.0)


def test_tokens_routed_to_other_ranks_only_leave_every_block_empty() -> None:
    mapping = build_block_mapping(np.array([[-1], [4]]), n_experts=4, block_size=2)
    assert np.all(mapping.token_position_to_id == -1)
    assert mapping.conditions.sum() == mapping.n_real_blocks == 0


def test_too_few_blocks_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"3 blocks of 4 are needed, got n_blocks=2"):
        build_block_mapping(np.zeros((10, 1), np.int64), n_experts=2, block_size=4, n_blocks=2)


def test_an_expert_listed_twice_for_a_token_is_refused_by_name() -> None:
    expert_ids = np.array([[0, 1, 2], [2, 1, 2]])
    with pytest.raises(ValueError, match=r"got expert 2 twice for token 1"):
        build_block_mapping(expert_ids, n_experts=3, block_size=4)
    with pytest.raises(ValueError, match=r"got expert 2 twice for token 1"):
        scatter_affinities(np.ones((2, 3)), expert_ids, 3, dtype=np.float32)


def test_a_sentinel_may_be_repeated() -> None:
    mapping = build_block_mapping(np.array([[-1, -1, 0], [9, 9, 9]]), n_experts=1, block_size=2)
    assert mapping.n_real_slots == 1


@pytest.mark.parametrize("expert_ids", [np.zeros(4, np.int32), np.zeros((4, 1))])
def test_ids_that_are_not_an_integer_matrix_are_refused(expert_ids: npt.NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match=r"must be integers \[T, K\], got (int32|float64)"):
        build_block_mapping(expert_ids, n_experts=1, block_size=4)


def test_a_mapping_cannot_be_reassigned() -> None:
    mapping = build_block_mapping(np.zeros((1, 1), np.int32), 1, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        mapping.n_real_blocks = 2  # type: ignore[misc]


def most_blocks(n_tokens: int, top_k: int, n_experts: int, block_size: int) -> int:
    """Largest number of blocks over all splits of at most T * K pairs into counts of at most T each."""
    splits = itertools.product(range(n_tokens + 1), repeat=n_experts)
    n_pairs = n_tokens * min(top_k, n_experts)
    return max(sum(-(-c // block_size) for c in split) for split in splits if sum(split) <= n_pairs)


@pytest.mark.parametrize("n_experts", [1, 2, 3, 4])
@pytest.mark.parametrize("block_size", [1, 2, 3, 5])
def test_the_static_block_count_suffices_for_every_routing(n_experts: int, block_size: int) -> None:
    for n_tokens, top_k in itertools.product(range(7), range(6)):
        bound = static_block_count(n_tokens, top_k, n_experts, block_size)
        assert bound >= most_blocks(n_tokens, top_k, n_experts, block_size), (n_tokens, top_k)
        assert bound >= (1 if n_tokens * top_k else 0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10240, 4, 128, 256), 287),
        ((1024, 4, 8, 512), 15),
        ((1024, 8, 64, 512), 79),
        ((10240, 8, 4, 512), 83),  # each token has at most four local experts
        ((1, 8, 128, 128), 8),  # fewer pairs than experts: one block a pair
        ((3, 1, 4, 1), 3),
        ((0, 8, 128, 128), 0),
    ],
)
def test_static_block_counts_of_known_shapes(shape: tuple[int, int, int, int], expected: int) -> None:
    assert static_block_count(*shape) == expected


def test_the_static_block_count_is_reached_by_the_worst_routing() -> None:
    expert_ids = np.array([[0]] * 7 + [[1], [2]])
    mapping = build_block_mapping(expert_ids, n_experts=3, block_size=2)
    assert mapping.n_real_blocks == len(mapping.block_to_expert) == 6


@pytest.mark.parametrize("shape", [(-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)])
def test_impossible_sizes_are_refused(shape: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"n_experts and block_size >= 1, got n_tokens="):
        static_block_count(*shape)


@settings(max_examples=100, deadline=None, database=None)
@given(routings(), st.booleans())
def test_affinities_land_on_row_token_times_experts_plus_expert(
    routing: tuple[Ids, int, int], skip_token: bool
) -> None:
    expert_ids, n_experts, _ = routing
    n_tokens, top_k = expert_ids.shape
    weights = np.arange(1, n_tokens * top_k + 1, dtype=np.float32).reshape(n_tokens, top_k)
    column = scatter_affinities(weights, expert_ids, n_experts, skip_token=skip_token, dtype=np.float32)
    expected = np.zeros(((n_tokens + (not skip_token)) * n_experts, 1), np.float32)
    for t, k in np.ndindex(n_tokens, top_k):
        if 0 <= expert_ids[t, k] < n_experts:
            expected[t * n_experts + expert_ids[t, k], 0] = weights[t, k]
    np.testing.assert_array_equal(column, expected, strict=True)


def test_affinities_take_the_requested_dtype_and_round_once() -> None:
    column = scatter_affinities(np.array([[1.001]]), np.array([[0]]), 1, dtype=ml_dtypes.bfloat16)
    assert column.dtype == ml_dtypes.bfloat16
    assert float(column[0, 0]) == 1.0


def test_weights_of_another_shape_than_the_ids_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape \[T, K\], got \(2, 2\) and \(2, 1\)"):
        scatter_affinities(np.ones((2, 2)), np.zeros((2, 1), np.int32), 2, dtype=np.float32)
