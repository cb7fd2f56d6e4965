"""`moe_sorting` lists every pair (token, choice) of a local expert once, by expert, in blocks."""

import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe import RequestError
from nkimoe.ops import moe_sorting
from nkimoe.reference.routing_ops import moe_sorting_reference
from nkimoe.routing import moe_sorting as moe_sorting_in_numpy
from nkimoe.routing import on_device
from nkimoe.routing.on_device.pair_order import MOST_PAIRS

# T, E, K and options: the matrix that Composable Kernel tests its own with.
PUBLISHED = [
    *((shape, {}) for shape in [
        (80, 17, 4), (111, 117, 4), (1000, 55, 4), (99, 120, 4), (175, 64, 8), (65, 8, 2), (1, 25, 4), (31, 19, 15),
        (81, 37, 7), (23, 1, 1), (127, 99, 19), (71, 11, 11), (1, 1, 1), (99, 2, 1), (333, 99, 13), (11, 256, 5),
        (64, 455, 8), (128, 32, 5),
    ]),
    ((13, 64, 3), {"local_experts": range(4, 12)}),
    ((99, 33, 9), {"local_experts": (6, 10, 11, 15, 19)}),
    ((80, 99, 10), {"local_experts": (0, 8, 12, 33)}),
    ((11, 256, 5), {"local_experts": (99, 110, 129)}),
    ((12, 256, 5), {"local_tokens": 3}),
    ((7, 89, 1), {"local_tokens": 0}),
    ((61, 333, 99), {"local_tokens": 0}),
]  # fmt: skip
LARGE = [
    *((shape, {}) for shape in [
        (777, 802, 99), (4097, 906, 51), (8192, 32, 5), (8192, 32, 8), (8192, 256, 5), (8192, 256, 8), (163840, 256, 8)
    ]),
    ((133940, 256, 17), {"local_tokens": 111921}),
]  # fmt: skip
WORKED = np.array([[0, 3, 5], [2, 3, 5], [1, 3, 5], [1, 2, 3], [1, 3, 5]], np.int32)  # five tokens of six experts


def distinct(n_tokens, n_experts, top_k):
    rng = np.random.default_rng(11937)
    ids = np.argsort(rng.random((n_tokens, n_experts), np.float32), axis=1)[:, :top_k]
    return ids.astype(np.int32), weights_for(ids)


def weights_for(ids):
    return np.linspace(0.5, 1, ids.size, dtype=np.float32).reshape(ids.shape)


def check(ids, weights, n_experts, block_size, cores=1, **options):
    """All rows and blocks, surplus ones, too, of the kernel and of NumPy."""
    expected = moe_sorting_reference(ids, weights, n_experts, block_size, **options)
    n_tokens, top_k = ids.shape
    n_blocks = math.ceil((n_tokens * top_k + n_experts * block_size - top_k) / block_size)
    local = options.get("local_tokens", n_tokens)
    pad = top_k << 24 | local if options.get("packed", True) else local
    surplus = n_blocks - len(expected.expert_ids)
    kernel = moe_sorting[cores](ids, weights, n_experts, block_size, **options)
    for result in (kernel, moe_sorting_in_numpy(ids, weights, n_experts, block_size, **options)):
        assert [table.dtype for table in result[:3]] == [np.int32, np.float32, np.int32]
        np.testing.assert_array_equal(result.sorted_token_ids, expected.token_ids + [pad] * surplus * block_size)
        np.testing.assert_array_equal(result.sorted_weights, expected.weights + [0] * surplus * block_size)
        np.testing.assert_array_equal(result.sorted_expert_ids, expected.expert_ids + [-1] * surplus)
        assert result.num_tokens_post_pad == len(expected.token_ids)
    return kernel


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize(("shape", "options"), PUBLISHED, ids=str)
def test_the_published_matrix(shape, options, packed):
    check(*distinct(*shape), shape[1], 32, packed=packed, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "options"), LARGE, ids=str)
def test_the_large_shapes_of_the_published_matrix(shape, options):
    check(*distinct(*shape), shape[1], 32, cores=2, **options)


def test_the_published_example():
    result = moe_sorting(WORKED, weights_for(WORKED), n_experts=6, block_size=4, packed=False)
    blocks = [[0, 5, 5, 5], [2, 3, 4, 5], [1, 3, 5, 5], [0, 1, 2, 3], [4, 5, 5, 5], [0, 1, 2, 4]]
    assert result.sorted_token_ids[:24].reshape(-1, 4).tolist() == blocks
    assert result.sorted_expert_ids[:6].tolist() == [0, 1, 2, 3, 3, 5]
    assert result.num_tokens_post_pad == 24


def test_packed_rows_hold_the_choice_above_the_token():
    result = moe_sorting(WORKED, weights_for(WORKED), n_experts=6, block_size=4)
    assert result.sorted_token_ids[4:8].tolist() == [0 << 24 | 2, 0 << 24 | 3, 0 << 24 | 4, 3 << 24 | 5]
    assert result.sorted_token_ids[12:16].tolist() == [1 << 24 | 0, 1 << 24 | 1, 1 << 24 | 2, 2 << 24 | 3]


def test_rows_are_a_whole_number_of_blocks():
    result = moe_sorting(WORKED[:, :2].copy(), weights_for(WORKED[:, :2]), n_experts=6, block_size=7)
    assert (result.sorted_token_ids.size, result.sorted_expert_ids.size) == (56, 8)  # of 10 + 42 - 2 = 50


def test_local_experts_are_numbered_from_0():
    result = moe_sorting(WORKED, weights_for(WORKED), 6, 4, local_experts=[2, 4, 5], packed=False)
    assert result.sorted_token_ids[:8].tolist() == [1, 3, 5, 5, 0, 1, 2, 4]
    assert (result.sorted_expert_ids[:3].tolist(), result.num_tokens_post_pad) == ([0, 2, -1], 8)


def test_a_mask_of_experts_is_the_list_of_those_it_has():
    mask = np.array([False, False, True, False, True, True])
    by_mask = moe_sorting(WORKED, weights_for(WORKED), 6, 4, local_experts=mask)
    by_list = moe_sorting(WORKED, weights_for(WORKED), 6, 4, local_experts=(2, 4, 5))
    for table, wanted in zip(by_mask, by_list, strict=True):
        np.testing.assert_array_equal(table, wanted)


@pytest.mark.parametrize("local", [2, np.int64(2), np.array([2], np.int32)], ids=["int", "NumPy's int", "tensor"])
def test_tokens_from_local_tokens_on_are_not_there(local):
    result = moe_sorting(WORKED, weights_for(WORKED), 6, 2, local_tokens=local, packed=False)
    assert result.sorted_token_ids[:10].tolist() == [0, 2, 1, 2, 0, 1, 0, 1, 2, 2]
    assert (result.sorted_expert_ids[:5].tolist(), result.num_tokens_post_pad) == ([0, 2, 3, 5, -1], 8)


def test_an_expert_that_a_token_lists_twice_has_a_row_for_each_choice():
    ids = np.array([[1, 0, 1], [1, 1, 1]], np.int32)
    result = check(ids, weights_for(ids), 3, 4)
    rows = [(row & 0xFFFFFF, row >> 24) for row in result.sorted_token_ids[4:12].tolist()]
    assert rows == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2), (2, 3), (2, 3), (2, 3)]


def test_a_choice_of_id_minus_one_is_skipped():
    ids = np.array([[0, -1]], np.int32)
    result = check(ids, weights_for(ids), 2, 2)
    assert (result.sorted_expert_ids.tolist(), result.num_tokens_post_pad) == ([0, -1], 2)


@pytest.mark.parametrize("foreign", [-1, -(2**31), 7, 2**24 + 1, 2**31 - 1])
def test_ids_of_no_expert_are_skipped_however_large(foreign):
    ids, weights = distinct(140, 7, 3)
    ids[1::2, 1] = foreign
    check(ids, weights, 7, 16)


def test_ids_of_64_bits_do_not_wrap_around():
    ids = np.array([[0, 2**32], [1, -(2**32)]])
    result = check(ids, weights_for(ids), 2, 2)
    assert result.num_tokens_post_pad == 4


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("block_size", [1, 7, 32, 200])
@pytest.mark.parametrize(
    "ids",
    [np.full((300, 1), 2), np.full((300, 3), 2), np.full((5, 2), -1), np.arange(5)[::-1].reshape(1, 5)],
    ids=["all tokens at one expert", "and all choices", "no token anywhere", "all experts of one token"],
)
def test_extreme_routings(ids, block_size, cores):
    ids = ids.astype(np.int32)
    check(ids, weights_for(ids), 5, block_size, cores)


def test_no_tokens_give_pads_alone():
    ids = np.zeros((0, 2), np.int32)
    result = check(ids, weights_for(ids), 3, 4, local_experts=(1,), local_tokens=0)
    assert set(result.sorted_token_ids.tolist()) == {2 << 24}


@pytest.mark.parametrize("local", [0, 1, 129, 300])
@pytest.mark.parametrize("cores", [1, 2])
def test_local_tokens_that_only_the_device_knows_give_the_same_tables(local, cores):
    ids, weights = distinct(300, 9, 4)
    expected = moe_sorting_in_numpy(ids, weights, 9, 8, local_tokens=local)
    tables = on_device.moe_sorting[cores](ids, weights, 9, 8, local_tokens=np.array([local], np.int32))
    for table, wanted in zip(tables, expected, strict=True):
        np.testing.assert_array_equal(table, wanted)


@st.composite
def calls(draw):
    """ids with anything in them, weights, E, B, and options."""
    n_experts, n_tokens = draw(st.integers(1, 8)), draw(st.integers(1, 20))
    top_k = draw(st.integers(1, n_experts))
    ids = draw(st.lists(st.integers(-1, n_experts), min_size=n_tokens * top_k, max_size=n_tokens * top_k))
    ids = np.array(ids, draw(st.sampled_from([np.int32, np.int64]))).reshape(n_tokens, top_k)
    options = {"packed": draw(st.booleans())}
    if draw(st.booleans()):
        options["local_experts"] = sorted(draw(st.sets(st.integers(0, n_experts - 1), min_size=1)))
    if draw(st.booleans()):
        options["local_tokens"] = draw(st.integers(0, n_tokens))
    return (ids, weights_for(ids), n_experts, draw(st.sampled_from([1, 2, 3, 4, 16, 32]))), options


@settings(max_examples=200, deadline=None)
@given(calls(), st.sampled_from([1, 2]))
def test_every_call_gives_what_the_definition_says(call, cores):
    arguments, options = call
    check(*arguments, cores, **options)


@settings(max_examples=100, deadline=None)
@given(calls())
def test_rows_name_every_pair_of_a_local_expert_exactly_once(call):
    (ids, weights, n_experts, block_size), options = call
    result = moe_sorting(ids, weights, n_experts, block_size, **{**options, "packed": True})
    local = list(options.get("local_experts", range(n_experts)))
    n_tokens = options.get("local_tokens", len(ids))
    expected = [(t, j) for t in range(n_tokens) for j in range(ids.shape[1]) if ids[t, j] in local]
    found = []
    for row, (packed, weight) in enumerate(zip(result.sorted_token_ids.tolist(), result.sorted_weights, strict=True)):
        token, choice = packed & 0xFFFFFF, packed >> 24
        if choice < ids.shape[1]:
            found.append((token, choice))
            assert weight == weights[token, choice]
            assert local[result.sorted_expert_ids[row // block_size]] == ids[token, choice]
    assert sorted(found) == expected


@settings(max_examples=60, deadline=None)
@given(calls(), st.data())
def test_two_ranks_with_all_experts_between_them_have_the_rows_of_one(call, data):
    (ids, weights, n_experts, block_size), _ = call
    mine = sorted(data.draw(st.sets(st.integers(0, n_experts - 1))))
    ranks = [part for part in (mine, sorted(set(range(n_experts)) - set(mine))) if part]
    rows = [moe_sorting(ids, weights, n_experts, block_size, local_experts=part) for part in ranks]
    whole = moe_sorting(ids, weights, n_experts, block_size)
    assert sum(r.num_tokens_post_pad for r in rows) == whole.num_tokens_post_pad
    used = [r.sorted_token_ids[: r.num_tokens_post_pad].tolist() for r in rows]
    assert sorted(chain.from_iterable(used)) == sorted(whole.sorted_token_ids[: whole.num_tokens_post_pad].tolist())


def test_torch_in_gives_torch_out():
    torch = pytest.importorskip("torch")
    expected = moe_sorting(WORKED, weights_for(WORKED), 6, 4, local_tokens=3)
    weights = torch.from_numpy(weights_for(WORKED))
    for ids in (torch.from_numpy(WORKED), torch.from_numpy(WORKED).long()):
        for local in (3, torch.tensor([3], dtype=torch.int32)):
            result = moe_sorting(ids, weights, 6, 4, local_tokens=local)
            assert all(isinstance(table, torch.Tensor) for table in result[:3])
            assert [table.tolist() for table in result[:3]] == [table.tolist() for table in expected[:3]]
    empty = moe_sorting(torch.zeros((0, 3), dtype=torch.int32), weights[:0], 6, 4)
    assert isinstance(empty.sorted_weights, torch.Tensor)


IDS, WEIGHTS = np.zeros((4, 2), np.int32), np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topk_ids": [[0, 1]]}, "topk_ids: is a NumPy array or a torch tensor; got list"),
        ({"topk_ids": IDS[0]}, r"topk_ids: is \[T, K\]; got \(2,\). Reshape"),
        ({"topk_ids": IDS.astype(np.float32)}, "topk_ids: is int32 or int64; got float32"),
        ({"topk_ids": IDS[:, :0]}, "topk_ids: has 1 to E = 3 choices a token; got K = 0"),
        ({"topk_ids": np.zeros((4, 4), np.int32)}, "got K = 4"),
        (
            {"topk_ids": np.zeros((1, 128), np.int32), "n_experts": 128},
            r"T below 2\*\*24 and K below 2\*\*7 .*packed=F",
        ),
        ({"topk_weights": WEIGHTS[:3]}, r"topk_weights: is float32 \(4, 2\); got \(\(3, 2\)"),
        ({"topk_weights": WEIGHTS.astype(np.float16)}, r"'float16'\)\. Cast"),
        ({"topk_weights": [[0.0]]}, "topk_weights: is a NumPy array"),
        ({"n_experts": 0}, "n_experts: is a positive integer; got 0"),
        ({"n_experts": 4097}, "n_experts: is up to 4096; got 4097"),
        ({"block_size": 0}, "block_size: is a positive integer; got 0"),
        ({"block_size": 8.0}, "got 8.0"),
        ({"block_size": 1 << 23}, r"block_size: gives fewer than 2\*\*24 rows"),
        ({"local_experts": [2, 1]}, r"local_experts: is a list of experts in 0..2, each once, ascending.*\(2, 1\)"),
        ({"local_experts": [1, 1]}, "local_experts"),
        ({"local_experts": [1, 3]}, "local_experts"),
        ({"local_experts": []}, r"local_experts: .*one or more; got \(\)"),
        ({"local_experts": 1}, "local_experts: is a list of integers or a bool mask; got 1"),
        ({"local_experts": [0.5]}, "or a bool mask"),
        ({"local_experts": np.ones(2, bool)}, r"local_experts: is a mask \[3\], or ids"),
        ({"local_tokens": 5}, "local_tokens: is in 0..T = 0..4; got 5"),
        ({"local_tokens": -1}, "local_tokens"),
        ({"local_tokens": np.array([5], np.int32)}, "local_tokens: is in 0..T = 0..4; got 5"),
        ({"local_tokens": np.array([1, 2], np.int32)}, r"local_tokens: is an int or int32 \[1\]"),
        ({"local_tokens": np.array([1])}, "int64"),
        ({"local_tokens": 1.0}, "local_tokens"),
        ({"local_tokens": True}, "local_tokens"),
        ({"packed": 1}, "packed: is True or False; got 1"),
    ],
)
def test_what_cannot_be_sorted_is_refused_by_name(changes, message):
    arguments = {"topk_ids": IDS, "topk_weights": WEIGHTS, "n_experts": 3, "block_size": 4}
    with pytest.raises(RequestError, match=message):
        moe_sorting(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("shape", "message"), [((10_000, 251), "up to 2500000 pairs"), ((1, 257), "up to 256 choices")], ids=str
)
def test_what_the_device_cannot_count_is_refused_before_anything_runs(shape, message):
    ids, weights = (np.broadcast_to(dtype(0), shape) for dtype in (np.int32, np.float32))
    with pytest.raises(RequestError, match=message):
        moe_sorting(ids, weights, 300, 32, packed=False)


@pytest.mark.parametrize("block_size", [1, 2, 3, 7, 31, 32, 100, 128, 255, 1000, 4096, 1_000_003])
def test_counts_divided_in_fp32_round_to_the_right_number_of_blocks_up_to_the_most_pairs(block_size):
    counts = np.arange(MOST_PAIRS + 1)
    scaled = counts.astype(np.float32) * np.float32(1 / block_size)
    blocks = np.rint(scaled + np.float32(0.5 - 0.5 / block_size))
    np.testing.assert_array_equal(blocks, -(-counts // block_size))
