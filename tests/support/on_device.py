"""The routing kernels beside NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from nkimoe.routing import (
    GroupScore,
    RoutingRule,
    Score,
    build_block_mapping,
    moe_align_block_size,
    moe_sorting,
    on_device,
    pair_blocks,
    route,
    scatter_affinities,
    static_block_count,
)

TOKENS = 420  # four tiles of 128, of which each of two cores has a whole one, and the last one is ragged
RULES = (
    (RoutingRule(10), 12),
    (RoutingRule(3, Score.SIGMOID, scaling_factor=2.5, groups=4, top_groups=2, group_score=GroupScore.TOP_2_SUM), 16),
    (RoutingRule(2, Score.SOFTMAX_OF_CHOSEN, renormalize=False, groups=3, top_groups=1), 6),
    (RoutingRule(5, Score.SQRT_SOFTPLUS), 5),
)


def check_routing() -> None:
    """Choices, tables and affinities of several rules and sizes.

    There are ties, masked experts, some without tokens, ids of no expert, and logits too large to be exponents.
    """
    rng = np.random.default_rng(0)
    for cores, (rule, n_experts) in zip((1, 2, 1, 2), RULES, strict=True):
        logits = rng.integers(58, 63, (TOKENS, n_experts)).astype(np.float32)
        logits[:, 1:][rng.random((TOKENS, n_experts - 1)) < 0.3] = -np.inf
        bias = rng.integers(-1, 2, n_experts).astype(np.float32) if rule.score is Score.SIGMOID else None
        weights, ids = on_device.route[cores](logits, rule, bias)
        expected_weights, expected_ids = route(logits, rule, bias)
        np.testing.assert_array_equal(ids, expected_ids)
        np.testing.assert_allclose(weights, expected_weights, rtol=3e-6, atol=1e-30)
        ids = np.where(expected_weights > 0, ids, -1).astype(np.int32)
        ids[1::5, 0], ids[2::7, -1] = n_experts, 2**31 - 1
        check_tables(ids, weights, n_experts, cores)
        check_pairs(ids, weights, n_experts, cores)
        check_sorting(ids, weights, n_experts, cores)


def check_tables(ids: np.ndarray, weights: np.ndarray, n_experts: int, cores: int) -> None:
    """Some tokens list an expert twice, which the mapping counts once."""
    once, twice = ids.copy(), ids.copy()
    once[::3, -1], twice[::3, -1] = -1, ids[::3, 0]
    for block_size, skip_token in ((48, True), (1, False)):
        expected = build_block_mapping(once, n_experts, block_size, skip_token=skip_token)
        tables = (expected.token_position_to_id, expected.block_to_expert, expected.conditions)
        actual = on_device.build_block_mapping[cores](twice, n_experts, block_size, skip_token)
        for table, wanted in zip(actual, tables, strict=True):
            np.testing.assert_array_equal(table, wanted)
        column = on_device.scatter_affinities[cores](weights, ids, n_experts, skip_token)
        wanted = scatter_affinities(weights, ids, n_experts, skip_token=skip_token, dtype=ml_dtypes.bfloat16)
        np.testing.assert_array_equal(column, wanted)


def check_pairs(ids: np.ndarray, weights: np.ndarray, n_experts: int, cores: int) -> None:
    """Some tokens list an expert twice; weights have both signs."""
    ids, weights = ids.copy(), weights * np.where(np.arange(TOKENS) % 2, 1, -1).astype(np.float32)[:, None]
    ids[::3, -1] = ids[::3, 0]
    for block_size in (48, 1):
        n_blocks = static_block_count(ids.size, 1, n_experts, block_size)
        expected = pair_blocks(ids, weights, n_experts, block_size, n_blocks)
        tables = (expected.tokens, expected.positions, expected.weights, expected.block_to_expert, expected.conditions)
        actual = on_device.pair_blocks[cores](ids, weights, n_experts, block_size)
        for table, wanted in zip(actual, tables, strict=True):
            np.testing.assert_array_equal(table, wanted)


def check_sorting(ids: np.ndarray, weights: np.ndarray, n_experts: int, cores: int) -> None:
    """Some tokens list an expert twice; some experts and tokens are others' or none's."""
    ids = ids.copy()
    ids[::3, -1] = ids[::3, 0]
    local_experts = (*range(1, n_experts - 2), n_experts - 1)
    for block_size, packed, limit in ((48, True, np.array([130], np.int32)), (1, False, 131), (5, True, None)):
        local_tokens = limit if limit is None else int(np.squeeze(limit))
        expected = moe_sorting(
            ids, weights, n_experts, block_size, local_experts=local_experts, local_tokens=local_tokens, packed=packed
        )
        actual = on_device.moe_sorting[cores](ids, weights, n_experts, block_size, local_experts, limit, packed)
        for table, wanted in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(table, np.atleast_1d(wanted))
        aligned = on_device.moe_align_block_size[cores](ids, n_experts, block_size)
        for table, wanted in zip(aligned, moe_align_block_size(ids, n_experts, block_size)[:3], strict=True):
            np.testing.assert_array_equal(table, np.atleast_1d(wanted))
