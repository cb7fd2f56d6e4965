"""The kernels that map tokens to blocks give, bit for bit, the tables of NumPy."""

import ml_dtypes
import nki
import nki.isa as nisa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.routings import routings

from nkimoe import MoECTEImplementation, MoECTESpec, SkipMode, moe_cte
from nkimoe.errors import RequestError
from nkimoe.routing import (
    RoutingRule,
    build_block_mapping,
    on_device,
    pair_blocks,
    route,
    scatter_affinities,
    static_block_count,
)
from nkimoe.routing.on_device import block_pieces, block_tables, slot_tables, token_groups
from nkimoe.spec import Pairs
from nkisim import Simulator

TABLES = ("token_position_to_id", "block_to_expert", "conditions")


def check(ids, n_experts, block_size, cores=1, skip_token=True):
    tables = on_device.build_block_mapping[cores](ids.astype(np.int32), n_experts, block_size, skip_token)
    expected = build_block_mapping(ids, n_experts, block_size, skip_token=skip_token)
    for name, table in zip(TABLES, tables, strict=True):
        assert table.dtype == np.int32
        np.testing.assert_array_equal(table, getattr(expected, name), err_msg=name)


def drawn(n_tokens, top_k, n_experts, seed=0):
    return np.argsort(np.random.default_rng(seed).random((n_tokens, n_experts)), axis=1)[:, :top_k]


@settings(max_examples=150, deadline=None)
@given(routings(), st.sampled_from([1, 2]), st.booleans())
def test_blocks_equal_those_of_numpy(routing, cores, skip_token):
    check(*routing, cores, skip_token)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(
    ("n_tokens", "top_k", "n_experts", "block_size"),
    [(640, 8, 128, 128), (385, 4, 16, 32), (129, 1, 3, 200), (300, 6, 600, 7), (257, 2, 5, 3000)],
    ids=["as Qwen3-30B", "ragged tiles", "one choice", "more experts than a bank holds", "wide blocks"],
)
def test_many_tiles_of_tokens_blocks_and_experts(cores, n_tokens, top_k, n_experts, block_size):
    ids = drawn(n_tokens, top_k, n_experts)
    ids[::5] = -1
    check(ids, n_experts, block_size, cores)


@pytest.mark.parametrize("foreign", [-1, -(2**31), 7, 2**24 + 1, 2**31 - 1])
def test_ids_of_no_expert_are_ignored_however_large(foreign):
    ids = drawn(140, 3, 7)
    ids[1::2, 1] = foreign
    check(ids, 7, 16)


def test_an_expert_listed_twice_counts_once():
    twice, once = np.array([[1, 1], [0, 1]]), np.array([[1, -1], [0, 1]])
    slots, *_ = on_device.build_block_mapping(twice.astype(np.int32), 2, 4)
    np.testing.assert_array_equal(slots, build_block_mapping(once, 2, 4).token_position_to_id)


PAIR_TABLES = ("tokens", "positions", "weights", "block_to_expert", "conditions")


def check_pairs(ids, n_experts, block_size, cores=1):
    weights = np.random.default_rng(1).random(ids.shape, dtype=np.float32)
    tables = on_device.pair_blocks[cores](ids.astype(np.int32), weights, n_experts, block_size)
    n_blocks = static_block_count(ids.size, 1, n_experts, block_size)
    expected = pair_blocks(ids, weights, n_experts, block_size, n_blocks)
    for name, table in zip(PAIR_TABLES, tables, strict=True):
        assert table.dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(table, getattr(expected, name), err_msg=name)


@settings(max_examples=50, deadline=None)
@given(routings(), st.sampled_from([1, 2]))
def test_blocks_of_pairs_equal_those_of_numpy(routing, cores):
    check_pairs(*routing, cores)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(
    ("n_tokens", "top_k", "n_experts", "block_size"),
    [(640, 8, 128, 64), (385, 4, 16, 32), (129, 1, 3, 200), (300, 6, 600, 7), (257, 5, 5, 300), (140, 11, 12, 9)],
    ids=[
        "as Qwen3-30B",
        "ragged tiles",
        "one choice",
        "more experts than a bank",
        "all experts",
        "more than 8 choices",
    ],
)
def test_many_tiles_of_tokens_and_blocks_of_pairs(cores, n_tokens, top_k, n_experts, block_size):
    ids = drawn(n_tokens, top_k, n_experts)
    ids[::5] = -1
    check_pairs(ids, n_experts, block_size, cores)


@pytest.mark.parametrize("cores", [1, 2])
def test_an_expert_listed_twice_has_two_pairs(cores):
    check_pairs(np.random.default_rng(0).integers(-1, 5, (200, 6)), 4, 16, cores)


def test_pairs_of_one_expert_fill_its_blocks():
    ids = np.full((300, 2), 7)
    ids[:, 1] = -1
    check_pairs(ids, 9, 32, cores=2)


@pytest.mark.parametrize("kernel", ["tokens", "pairs"])
def test_wide_blocks_are_put_together_in_pieces(kernel):
    ids = drawn(200, 2, 900)
    (check if kernel == "tokens" else check_pairs)(ids, 900, 2000, cores=2)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("kernel", ["tokens", "pairs"])
def test_many_groups_of_tokens_are_looked_through_some_at_a_time(kernel, cores, monkeypatch):
    monkeypatch.setattr(token_groups, "GROUP_COLUMNS", 4)
    monkeypatch.setattr(block_pieces, "READ_BYTES", 1024)
    monkeypatch.setattr(block_tables, "READY_BYTES", 0)  # and blocks are described when they are needed
    ids = drawn(128 * 6 + 1, 4, 9)
    ids[ids == 2] = -1
    (check if kernel == "tokens" else check_pairs)(ids, 9, 40, cores=cores)


@pytest.mark.parametrize("kernel", ["build_block_mapping", "pair_blocks"])
def test_tables_take_as_long_whatever_tokens_choose(kernel):
    us = set()
    for ids in (drawn(300, 2, 8), np.full((300, 2), 3), np.full((300, 2), -1)):
        given = (
            (ids.astype(np.int32),)
            if kernel == "build_block_mapping"
            else (ids.astype(np.int32), np.ones(ids.shape, np.float32))
        )
        us.add(Simulator("trn2", 2).run(getattr(on_device, kernel), *given, 8, 32).profile.latency_us)
    assert len(us) == 1


def test_more_pairs_than_fit_on_chip_are_refused(monkeypatch):
    monkeypatch.setattr(slot_tables, "KEPT_TABLES", 16)
    ids = drawn(300, 2, 8).astype(np.int32)
    with pytest.raises(RequestError, match="16 bytes of each partition"):
        on_device.build_block_mapping(ids, 8, 32)


def test_batches_that_do_not_fit_on_chip_are_loaded_again():
    check_pairs(drawn(128 * 9, 2, 4096), 4096, 3)


@pytest.mark.parametrize("kernel", ["build_block_mapping", "pair_blocks"])
def test_tables_are_predicted_without_numbers(kernel):
    ids = drawn(300, 2, 8).astype(np.int32)
    given = (ids,) if kernel == "build_block_mapping" else (ids, np.zeros(ids.shape, np.float32))
    of_shapes = Simulator("trn2", 2, numerics=False).run(getattr(on_device, kernel), *given, 8, 32)
    of_numbers = Simulator("trn2", 2).run(getattr(on_device, kernel), *given, 8, 32)
    assert of_shapes.profile.latency_us == of_numbers.profile.latency_us


@pytest.mark.parametrize(
    ("ids", "weights", "sizes", "rule"),
    [
        (np.zeros((4,), np.int32), np.zeros((4,), np.float32), (2, 4), "is .T, K."),
        (np.zeros((4, 1), np.int16), np.zeros((4, 1), np.float32), (2, 4), "is int32"),
        (np.zeros((4, 1), np.int32), np.zeros((4, 2), np.float32), (2, 4), "is float32"),
        (np.zeros((4, 1), np.int32), np.zeros((4, 1), np.float16), (2, 4), "is float32"),
        (np.zeros((4, 1), np.int32), np.zeros((4, 1), np.float32), (0, 4), "is positive"),
        (np.zeros((4, 1), np.int32), np.zeros((4, 1), np.float32), (2, 1 << 23), "fewer than 2.*24 rows"),
    ],
)
def test_pairs_that_cannot_be_placed_are_refused(ids, weights, sizes, rule):
    with pytest.raises(RequestError, match=rule):
        on_device.pair_blocks(ids, weights, *sizes)


@settings(max_examples=60, deadline=None)
@given(routings(), st.sampled_from([1, 2]), st.booleans())
def test_the_affinity_column_equals_that_of_numpy(routing, cores, skip_token):
    ids, n_experts, _ = routing
    weights = np.linspace(0.1, 1, ids.size, dtype=np.float32).reshape(ids.shape)
    column = on_device.scatter_affinities[cores](weights, ids.astype(np.int32), n_experts, skip_token)
    expected = scatter_affinities(weights, ids, n_experts, skip_token=skip_token, dtype=ml_dtypes.bfloat16)
    assert column.dtype == expected.dtype
    np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize(
    ("ids", "n_experts", "block_size", "rule"),
    [
        (np.zeros((4,), np.int32), 2, 4, "is .T, K."),
        (np.zeros((4, 1), np.int16), 2, 4, "is int32"),
        (np.zeros((0, 1), np.int32), 2, 4, "tokens with an expert or more"),
        (np.zeros((4, 0), np.int32), 2, 4, "tokens with an expert or more"),
        (np.zeros((4, 257), np.int32), 300, 4, "up to 256 choices"),
        (np.zeros((4, 1), np.int32), 0, 4, "1 to 4096"),
        (np.zeros((4, 1), np.int32), 2, 0, "is positive"),
        (np.zeros((4, 1), np.int32), 2, 1 << 23, "fewer than 2.*24 slots"),
    ],
)
def test_what_cannot_be_mapped_is_refused(ids, n_experts, block_size, rule):
    with pytest.raises(RequestError, match=rule):
        on_device.build_block_mapping(ids, n_experts, block_size)


def test_affinities_of_other_shapes_are_refused():
    with pytest.raises(RequestError, match="have the shape of expert_ids"):
        on_device.scatter_affinities(np.zeros((4, 2), np.float32), np.zeros((4, 1), np.int32), 3)


@nki.jit
def whole_layer(hidden, logits, gate_up, down, rule, block_size, variant):
    """Router, mapping and experts as one kernel."""
    weights, ids = on_device.route(logits, rule)
    wait_for(weights, ids)
    affinities = on_device.scatter_affinities(weights, ids, down.shape[0])
    slots, experts, conditions = on_device.build_block_mapping(ids, down.shape[0], block_size)
    wait_for(affinities, slots, experts, conditions)
    return moe_cte(
        hidden, affinities, gate_up, down, slots, experts, block_size, MoECTESpec(MoECTEImplementation[variant]),
        skip_dma=SkipMode(skip_token=True), conditions=conditions if "hybrid" in variant else None,
    )  # fmt: skip


@nki.jit
def whole_layer_of_pairs(hidden, logits, gate_up, down, rule, block_size):
    weights, ids = on_device.route(logits, rule)
    wait_for(weights, ids)
    tokens, positions, affinities, experts, conditions = on_device.pair_blocks(ids, weights, down.shape[0], block_size)
    wait_for(tokens, positions, affinities, experts, conditions)
    return moe_cte(
        hidden, None, gate_up, down, tokens, experts, block_size, MoECTESpec(MoECTEImplementation.shard_on_block),
        skip_dma=SkipMode(skip_token=True), conditions=conditions, pairs=Pairs(positions, affinities, rule.top_k),
    )  # fmt: skip


def wait_for(*tensors):
    if nki.language.num_programs(0) > 1:
        for tensor in tensors:
            nisa.core_barrier(data=tensor, cores=(0, 1))


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
def test_a_layer_without_the_host_is_the_layer_with_it(cores, variant):
    T, H, I, E, B, rule = 150, 128, 32, 6, 32, RoutingRule(2)
    rng = np.random.default_rng(1)
    hidden, gate_up, down = (
        rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((T, H), (E, H, 2, I), (E, I, H))
    )
    logits = rng.standard_normal((T, E)).astype(np.float32)
    weights, ids = route(logits, rule)
    mapping = build_block_mapping(ids, E, B)
    expected = moe_cte[cores](
        hidden, scatter_affinities(weights, ids, E, dtype=ml_dtypes.bfloat16), gate_up, down,
        mapping.token_position_to_id, mapping.block_to_expert, B, MoECTESpec(MoECTEImplementation[variant]),
        skip_dma=SkipMode(skip_token=True), conditions=mapping.conditions if "hybrid" in variant else None,
    )  # fmt: skip
    actual = whole_layer[cores](hidden, logits, gate_up, down, rule, B, variant)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_layer_of_pairs_without_the_host_is_the_layer_with_it(cores):
    T, H, I, E, B, rule = 150, 128, 32, 6, 32, RoutingRule(2)
    rng = np.random.default_rng(1)
    hidden, gate_up, down = (
        rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((T, H), (E, H, 2, I), (E, I, H))
    )
    logits = rng.standard_normal((T, E)).astype(np.float32)
    weights, ids = on_device.route(logits, rule)
    blocks = pair_blocks(ids, weights, E, B, static_block_count(ids.size, 1, E, B))
    expected = moe_cte[cores](
        hidden, None, gate_up, down, blocks.tokens, blocks.block_to_expert, B,
        MoECTESpec(MoECTEImplementation.shard_on_block), skip_dma=SkipMode(skip_token=True),
        conditions=blocks.conditions, pairs=blocks.pairs,
    )  # fmt: skip
    np.testing.assert_array_equal(whole_layer_of_pairs[cores](hidden, logits, gate_up, down, rule, B), expected)
