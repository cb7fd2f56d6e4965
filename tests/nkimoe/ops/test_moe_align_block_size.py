"""`moe_align_block_size` lists every pair of an expert once, by expert, in blocks, on the host and as a kernel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nkimoe import RequestError
from nkimoe.ops import moe_align_block_size, moe_sorting
from nkimoe.reference.routing_ops import moe_align_block_size_reference
from nkimoe.routing import moe_align_block_size as moe_align_block_size_in_numpy
from nkimoe.routing import on_device
from nkisim import Simulator

# T, E, K and B: the shapes that aiter tests its own with.
PUBLISHED = [
    *((T, 2, 1, 16) for T in (1, 2, 4, 8, 16)), (16, 8, 4, 16), (16, 8, 4, 32), (16, 8, 4, 128), (16, 48, 4, 64),
    (32, 224, 12, 128),
]  # fmt: skip
OF_THE_DOCUMENTATION = np.array([[2, 3, 4], [1, 2, 4], [1, 3, 4], [1, 2, 3]], np.int32)


def check(ids, n_experts, block_size, cores=1):
    """All rows and blocks, surplus ones, too, of the kernel and of NumPy. Returns the kernel's."""
    rows, experts = moe_align_block_size_reference(ids, n_experts, block_size)
    found = moe_align_block_size[cores](ids, n_experts, block_size)
    for result in (found, moe_align_block_size_in_numpy(ids, n_experts, block_size)[:3]):
        sorted_ids, expert_ids, num_tokens_post_pad = result
        assert (sorted_ids.dtype, expert_ids.dtype) == (np.int32, np.int32)
        assert sorted_ids.size == expert_ids.size * block_size
        surplus = expert_ids.size - len(experts)
        np.testing.assert_array_equal(sorted_ids, rows + [ids.size] * surplus * block_size)
        np.testing.assert_array_equal(expert_ids, experts + [-1] * surplus)
        assert num_tokens_post_pad == len(rows)
    return found


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("shape", PUBLISHED, ids=str)
def test_the_published_shapes(shape, cores):
    T, E, K, B = shape
    ids = np.argsort(np.random.default_rng(0).random((T, E)), axis=1)[:, :K].astype(np.int32)
    check(ids, E, B, cores)
    ids[::2, 0] = -1
    check(ids, E, B, cores)
    ids[:, -1] = ids[:, 0]
    check(ids, E, B, cores)


def test_an_id_of_minus_one_has_no_row():
    sorted_ids, expert_ids, num_tokens_post_pad = check(np.array([[0, -1]], np.int32), 2, 2)
    assert sorted_ids[:2].tolist() == [0, 2]
    assert (expert_ids[:1].tolist(), num_tokens_post_pad) == ([0], 2)


def test_surplus_blocks_have_no_expert():
    _, expert_ids, num_tokens_post_pad = check(np.zeros((40, 1), np.int32), 5, 8)
    assert expert_ids.tolist() == [0, 0, 0, 0, 0, -1, -1, -1, -1][: expert_ids.size]
    assert num_tokens_post_pad == 40 < expert_ids.size * 8


def test_ids_from_one_on_need_an_expert_more():
    sorted_ids, expert_ids, rows = check(OF_THE_DOCUMENTATION, 5, 4)
    assert sorted_ids[:16].tolist() == [3, 6, 9, 12, 0, 4, 10, 12, 1, 7, 11, 12, 2, 5, 8, 12]
    assert (expert_ids[:4].tolist(), rows) == ([1, 2, 3, 4], 16)
    sorted_ids, expert_ids, rows = check(OF_THE_DOCUMENTATION, 4, 4)  # 4 is no expert then
    assert sorted_ids[:12].tolist() == [3, 6, 9, 12, 0, 4, 10, 12, 1, 7, 11, 12]
    assert (expert_ids[:3].tolist(), rows) == ([1, 2, 3], 12)


@pytest.mark.parametrize("block_size", [3, 5, 7, 48])
def test_rows_are_whole_blocks_even_where_no_size_is_a_multiple_of_them(block_size):
    ids = np.argsort(np.random.default_rng(1).random((11, 6)), axis=1)[:, :3].astype(np.int32)
    assert check(ids, 6, block_size)[0].size % block_size == 0
    weights = np.ones(ids.shape, np.float32)
    assert moe_sorting(ids, weights, 6, block_size).sorted_token_ids.size % block_size == 0


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("block_size", [1, 7, 200])
@pytest.mark.parametrize(
    "ids",
    [np.full((300, 1), 2), np.full((300, 3), 2), np.full((5, 2), -1), np.arange(5)[::-1].reshape(1, 5)],
    ids=["all tokens at one expert", "and all choices", "no token anywhere", "all experts of one token"],
)
def test_extreme_routings(ids, block_size, cores):
    check(ids.astype(np.int32), 5, block_size, cores)


@pytest.mark.parametrize("foreign", [-1, -(2**31), 7, 2**24 + 1, 2**31 - 1])
def test_ids_of_no_expert_are_skipped_however_large(foreign):
    ids = np.random.default_rng(0).integers(0, 7, (140, 3), np.int32)
    ids[1::2, 1] = foreign
    check(ids, 7, 16)


def test_ids_of_64_bits_do_not_wrap_around():
    assert check(np.array([[0, 2**32], [1, -(2**32)]]), 2, 2)[2] == 4


def test_no_tokens_have_no_blocks():
    sorted_ids, expert_ids, rows = moe_align_block_size(np.zeros((0, 2), np.int64), 3, 4)
    assert (sorted_ids.size, expert_ids.size, rows, sorted_ids.dtype) == (0, 0, 0, np.int32)


@st.composite
def calls(draw):
    n_experts, n_tokens = draw(st.integers(1, 8)), draw(st.integers(1, 20))
    top_k = draw(st.integers(1, n_experts))
    ids = draw(st.lists(st.integers(-1, n_experts), min_size=n_tokens * top_k, max_size=n_tokens * top_k))
    return np.array(ids, np.int32).reshape(n_tokens, top_k), n_experts, draw(st.sampled_from([1, 2, 3, 16, 32]))


@settings(max_examples=150, deadline=None)
@given(calls(), st.sampled_from([1, 2]))
def test_every_call_gives_what_the_definition_says(call, cores):
    check(*call, cores)


def test_late_transfers_change_nothing():
    ids = np.random.default_rng(0).integers(-1, 6, (300, 3), np.int32)
    assert not Simulator("trn2", 2).compare_dma_orders(on_device.moe_align_block_size, ids, 6, 16).findings


def test_torch_in_gives_torch_out():
    torch = pytest.importorskip("torch")
    expected = moe_align_block_size(OF_THE_DOCUMENTATION, 5, 4)
    for ids in (torch.from_numpy(OF_THE_DOCUMENTATION), torch.from_numpy(OF_THE_DOCUMENTATION).long()):
        *tables, rows = moe_align_block_size(ids, 5, 4)
        assert all(isinstance(table, torch.Tensor) for table in tables)
        assert [table.tolist() for table in tables] == [table.tolist() for table in expected[:2]]
        assert rows == expected[2]
    assert isinstance(moe_align_block_size(torch.zeros((0, 2), dtype=torch.int32), 5, 4)[0], torch.Tensor)


IDS = np.zeros((4, 2), np.int32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topk_ids": [[0, 1]]}, "topk_ids: is a NumPy array or a torch tensor; got list"),
        ({"topk_ids": IDS[0]}, r"topk_ids: is \[T, K\]; got \(2,\). Reshape"),
        ({"topk_ids": IDS.astype(np.int16)}, "topk_ids: is int32 or int64; got int16"),
        ({"topk_ids": IDS[:, :0]}, "topk_ids: has 1 to E = 3 choices a token; got K = 0"),
        ({"topk_ids": np.zeros((4, 4), np.int32)}, "got K = 4"),
        ({"topk_ids": np.zeros((10_000, 251), np.int32), "num_experts": 300}, "up to 2500000 pairs"),
        ({"num_experts": 0}, "num_experts: is 1 to 4096; got 0"),
        ({"num_experts": 4097}, "num_experts: is 1 to 4096; got 4097"),
        ({"num_experts": 3.0}, "got 3.0"),
        ({"block_size": 0}, "block_size: is a positive integer; got 0"),
        ({"block_size": True}, "got True"),
        ({"block_size": 1 << 23}, r"block_size: gives fewer than 2\*\*24 rows"),
    ],
)
def test_what_cannot_be_aligned_is_refused_by_name(changes, message):
    with pytest.raises(RequestError, match=message):
        moe_align_block_size(**{"topk_ids": IDS, "num_experts": 3, "block_size": 4, **changes})
    assert moe_align_block_size(IDS, 3, 4)[2] == 8


@pytest.mark.parametrize(
    ("ids", "n_experts", "block_size", "rule"),
    [
        (np.zeros((4,), np.int32), 2, 4, "is .T, K., none of them 0"),
        (np.zeros((0, 2), np.int32), 2, 4, "none of them 0"),
        (np.zeros((4, 1), np.int16), 2, 4, "is int32"),
        (np.zeros((4, 1), np.int32), 0, 4, "n_experts: is positive"),
        (np.zeros((4, 1), np.int32), 2, 0, "block_size: is positive"),
    ],
)
def test_what_the_kernel_cannot_align_is_refused(ids, n_experts, block_size, rule):
    with pytest.raises(RequestError, match=rule):
        on_device.moe_align_block_size(ids, n_experts, block_size)
