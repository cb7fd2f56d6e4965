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
from nkimoe.routing import RoutingRule, build_block_mapping, on_device, route, scatter_affinities

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
