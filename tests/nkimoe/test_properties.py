"""What must hold for any routing, and what must not change when the request only says the same thing differently.

The dyadic inputs make every sum exact in fp32, so that equal arithmetic in another order still gives equal bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.case import Case, cases
from support.inputs import DTYPES, build_inputs, route
from support.launch import assert_matches_reference, assert_same_bits, check, run
from support.routings import expert_lists

from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode

EXACT = Case(T=300, H=128, I=48, E=3, K=1, values="dyadic", activation=ActFnType.ReLU)
EXACT_TWO = replace(EXACT, K=2, cores=1)  # on one core a token's blocks are added in one order

# Any routing ----------------------------------------------------------------------------------------------------------


@st.composite
def routed_cases(draw: st.DrawFn) -> tuple[Case, Any]:
    """A small case, and experts [T, K] with unrouted pairs anywhere."""
    T, E, B = draw(st.integers(1, 300)), draw(st.integers(1, 6)), draw(st.sampled_from([128, 256]))
    K = draw(st.integers(1, E))
    case = Case(
        T=T, H=128, I=draw(st.sampled_from([16, 48, 144])), E=E, K=min(K, 4), B=B,
        padding_blocks=draw(st.integers(0, 3)), skip_token=draw(st.booleans()), skip_weight=draw(st.booleans()),
        cores=draw(st.sampled_from([1, 2])), strategy=draw(st.sampled_from(list(BlockShardStrategy))),
        scaling=draw(st.sampled_from(list(ExpertAffinityScaleMode))), accumulating=K > 1 or draw(st.booleans()),
        activation=draw(st.sampled_from(list(ActFnType))), seed=draw(st.integers(0, 99)),
        biases=draw(st.sampled_from(["both", "gate_up", "down", "none"])),
    )  # fmt: skip
    return case, draw(expert_lists(T, E, case.K))


@settings(max_examples=25, deadline=None)
@given(routed_cases())
def test_any_routing_equals_the_reference(drawn: tuple[Case, Any]) -> None:
    case, ids = drawn
    weights = np.random.default_rng(case.seed).uniform(0.2, 1, ids.shape)
    assert_matches_reference(run(case, {**build_inputs(case), **route(case, ids, weights)}))


# The same call said differently ---------------------------------------------------------------------------------------


def routing_of(case: Case) -> tuple[Any, Any]:
    """Experts and weights [T, K], dyadic."""
    rng = np.random.default_rng(case.seed + 1)
    ids = np.argsort(rng.random((case.T, case.E)), axis=1)[:, : case.K].astype(np.int32)
    return ids, rng.choice([0.25, 0.5, 1.0], ids.shape)


@cases(EXACT, EXACT_TWO, replace(EXACT, skip_token=False), replace(EXACT, scaling=ExpertAffinityScaleMode.PRE_SCALE))
def test_permuting_tokens_permutes_rows(case: Case) -> None:
    ids, weights = routing_of(case)
    inputs = build_inputs(case)
    order = np.random.default_rng(7).permutation(case.T)
    before = run(case, {**inputs, **route(case, ids, weights)}).output
    hidden = inputs["hidden_states"].copy()
    hidden[: case.T] = hidden[order]
    after = run(case, {**inputs, "hidden_states": hidden, **route(case, ids[order], weights[order])}).output
    assert_same_bits(after[: case.T], before[order])


@cases(EXACT, replace(EXACT, cores=1), replace(EXACT_TWO, skip_token=False), replace(EXACT, skip_weight=True))
@pytest.mark.parametrize("B", [256, 384, 512, 640])
def test_smaller_blocks_change_nothing(case: Case, B: int) -> None:
    assert_same_bits(run(replace(case, B=B)).output, run(case).output)


@cases(EXACT, EXACT_TWO, replace(EXACT, accumulating=False), replace(EXACT_TWO, skip_token=False, B=256))
def test_padding_blocks_change_nothing(case: Case) -> None:
    outputs = [run(replace(case, padding_blocks=n)).output for n in (0, 1, 4)]
    for other in outputs[1:]:
        assert_same_bits(other, outputs[0])


@cases(
    EXACT,
    replace(EXACT, accumulating=False),
    replace(EXACT, B=256, skip_token=False),
    replace(EXACT, scaling=ExpertAffinityScaleMode.PRE_SCALE_DELAYED),
    replace(EXACT, dtype="float16"),
)
def test_strategy_and_number_of_cores_change_nothing(case: Case) -> None:
    """With one block a token; with more, the cores' sums are rounded in another order."""
    outputs = [
        run(replace(case, strategy=strategy, cores=cores)).output for strategy in BlockShardStrategy for cores in (1, 2)
    ]
    for other in outputs[1:]:
        assert_same_bits(other, outputs[0])


@cases(EXACT, replace(EXACT, per_core_output=True), replace(EXACT, non_overlapping=True))
def test_ways_to_update_the_output_agree(case: Case) -> None:
    assert_same_bits(run(case).output, run(replace(EXACT, accumulating=False)).output)


@cases(
    Case(T=600, H=128, I=144),
    Case(T=600, H=128, I=144, skip_token=False, strategy=BlockShardStrategy.HI_LO),
    Case(T=300, H=384, I=208, cores=1, K=4),
    Case(T=300, H=128, I=48, compute_dtype="float32", scaling=ExpertAffinityScaleMode.PRE_SCALE),
)
def test_keeping_weights_on_chip_changes_nothing(case: Case) -> None:
    assert_same_bits(run(replace(case, skip_weight=True)).output, run(case).output)


@cases(
    Case(H=128),
    Case(H=128, K=1, accumulating=False),
    Case(H=128, skip_weight=True, scaling=ExpertAffinityScaleMode.PRE_SCALE),
    Case(H=128, T=1, K=1),
)
def test_the_pad_convention_changes_nothing(case: Case) -> None:
    with_row, without = run(replace(case, skip_token=False)), run(case)
    assert_same_bits(with_row.output[:-1], without.output)


# Affinities -----------------------------------------------------------------------------------------------------------


@cases(Case(H=128), Case(H=128, cores=1, K=4), Case(H=128, K=1, accumulating=False, skip_token=False))
def test_doubling_affinities_doubles_the_output_exactly(case: Case) -> None:
    once = run(case)
    twice = run(case, once.inputs, expert_affinities_masked=once.inputs["expert_affinities_masked"] * 2)
    assert_same_bits(twice.output, once.output * DTYPES[case.dtype](2))


@cases(Case(H=128), Case(H=128, K=1, accumulating=False), Case(H=128, skip_token=False, cores=1))
def test_zero_affinities_give_zero_rows(case: Case) -> None:
    inputs = build_inputs(case)
    affinities = inputs["expert_affinities_masked"].copy().reshape(-1, case.E)
    affinities[: case.T : 2] = 0
    inputs["expert_affinities_masked"] = affinities.reshape(-1, 1)
    outcome = run(case, inputs)
    assert not outcome.output[: case.T : 2].any()
    assert outcome.output[1 : case.T : 2].any(axis=1).all()
    assert_matches_reference(outcome)


def test_without_scaling_affinities_are_not_read() -> None:
    case = Case(H=128, scaling=ExpertAffinityScaleMode.NO_SCALE)
    outcome = check(case)
    other = run(case, outcome.inputs, expert_affinities_masked=outcome.inputs["expert_affinities_masked"] * 3)
    assert_same_bits(other.output, outcome.output)


def test_experts_without_tokens_do_not_matter() -> None:
    case = Case(H=128, routing="empty_experts", padding_blocks=0)
    outcome = run(case)
    changed = {
        name: outcome.inputs[name].copy() for name in ("gate_up_proj_weight", "down_proj_weight", "down_proj_bias")
    }
    for value in changed.values():
        value[1::2] = 7
    assert_same_bits(run(case, {**outcome.inputs, **changed}).output, outcome.output)
