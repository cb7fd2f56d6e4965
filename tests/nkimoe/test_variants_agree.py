"""All dense variants compute the same thing, and what only says the same differently changes nothing in any of them.

The dyadic inputs make every sum exact in fp32, so that equal arithmetic in another order still gives equal bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.case import Case
from support.inputs import build_inputs, route
from support.launch import assert_matches_reference, assert_same_bits, run

from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode
from nkimoe.reference.tolerance import distance, tolerance

EXACT = Case(T=200, H=256, I=80, E=3, K=1, values="dyadic", activation=ActFnType.ReLU)
ROUNDED = Case(T=200, H=256, I=208, E=3, K=2, gate_upper=1.0, up_lower=-1.0)
BLOCKS = ("shard_on_block", "shard_on_i", "shard_on_i_hybrid")
VARIANTS = pytest.mark.parametrize("variant", BLOCKS)


def routing_of(case: Case, seed: int = 1) -> tuple[Any, Any]:
    """Experts and dyadic weights [T, K]."""
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((case.T, case.E)), axis=1)[:, : case.K].astype(np.int32)
    return ids, rng.choice([0.25, 0.5, 1.0], ids.shape)


def everywhere(case: Case) -> list[Case]:
    """The case in every variant that takes blocks, on one core and two, with either order of blocks."""
    return [
        *(replace(case, cores=cores, strategy=strategy) for cores in (1, 2) for strategy in BlockShardStrategy),
        *(replace(case, cores=cores, variant="shard_on_i") for cores in (1, 2)),
        *(replace(case, variant="shard_on_i_hybrid", static_blocks=static) for static in (0, 2, None)),
    ]


@pytest.mark.parametrize("scaling", ExpertAffinityScaleMode, ids=lambda mode: mode.name)
def test_exact_arithmetic_gives_the_same_bits_everywhere(scaling: ExpertAffinityScaleMode) -> None:
    first, *others = (run(case).output for case in everywhere(replace(EXACT, scaling=scaling)))
    for other in others:
        assert_same_bits(other, first)


@pytest.mark.parametrize("weights", ["plain", "fp8-row", "fp8-static"])
def test_rounded_arithmetic_agrees_to_rounding(weights: str) -> None:
    first, *others = (run(case).output for case in everywhere(replace(ROUNDED, weights=weights)))
    bounds = tolerance("bfloat16", "bfloat16", ROUNDED.K)
    for other in others:
        assert distance(other, first).rel_l2 < 2 * bounds.rel_l2


def test_the_capacity_layout_is_one_block_an_expert() -> None:
    case = replace(EXACT, variant="shard_on_i_dropping", B=256)
    dropping = run(case)
    inputs = {k: v for k, v in dropping.inputs.items() if k != "conditions"}
    for variant in BLOCKS[:2]:
        assert_same_bits(run(replace(case, variant=variant), inputs).output, dropping.output)


@VARIANTS
def test_permuting_tokens_permutes_rows(variant: str) -> None:
    case = replace(EXACT, variant=variant)
    ids, weights = routing_of(case)
    inputs, order = build_inputs(case), np.random.default_rng(7).permutation(case.T)
    before = run(case, {**inputs, **route(case, ids, weights)}).output
    moved = {**inputs, "hidden_states": inputs["hidden_states"][order], **route(case, ids[order], weights[order])}
    assert_same_bits(run(case, moved).output, before[order])


@VARIANTS
def test_splitting_the_blocks_of_an_expert_changes_nothing(variant: str) -> None:
    case = replace(EXACT, variant=variant, T=500, E=2, B=256)
    whole = run(case).output
    for B in (64, 100, 128, 384):
        assert_same_bits(run(replace(case, B=B)).output, whole)


@VARIANTS
def test_padding_blocks_change_nothing(variant: str) -> None:
    case = replace(EXACT, variant=variant)
    first, *others = (run(replace(case, padding_blocks=n)).output for n in (0, 1, 4))
    for other in others:
        assert_same_bits(other, first)


@VARIANTS
def test_doubling_affinities_doubles_the_output(variant: str) -> None:
    case = replace(EXACT, variant=variant, K=2, cores=2)
    inputs = build_inputs(case)
    doubled = {**inputs, "expert_affinities_masked": inputs["expert_affinities_masked"] * 2}
    assert_same_bits(run(case, doubled).output, run(case, inputs).output * ml_dtypes.bfloat16(2))


@VARIANTS
def test_twice_the_weight_with_half_the_scale_changes_nothing(variant: str) -> None:
    case = replace(ROUNDED, variant=variant, biases="both")
    inputs = build_inputs(case)
    ones = {
        "gate_up_proj_scale": np.ones((case.E, 1, 2 * case.I), np.float32),
        "down_proj_scale": np.ones((case.E, 1, case.H), np.float32),
    }
    scaled = {
        name.replace("weight", "scale"): ones[name.replace("weight", "scale")] / 2
        for name in ("gate_up_proj_weight", "down_proj_weight")
    }
    doubled = {name: inputs[name] * 2 for name in ("gate_up_proj_weight", "down_proj_weight")}
    assert_same_bits(run(case, {**inputs, **doubled, **scaled}).output, run(case, {**inputs, **ones}).output)


@VARIANTS
def test_the_affinity_on_i_equals_scaling_the_output(variant: str) -> None:
    case = replace(EXACT, variant=variant)
    assert_same_bits(run(replace(case, multiply_on_i=True)).output, run(case).output)


@VARIANTS
def test_an_offset_of_up_equals_a_larger_bias_and_limits(variant: str) -> None:
    case = replace(EXACT, variant=variant, up_upper=0.5, up_lower=-1.0, biases="both")
    inputs = build_inputs(case)
    bias = inputs["gate_and_up_proj_bias"].copy()
    bias[:, 1] += 1
    moved = replace(case, up_upper=1.5, up_lower=0.0)
    shifted = run(replace(case, up_offset=1.0), inputs).output
    assert_same_bits(run(moved, {**inputs, "gate_and_up_proj_bias": bias}).output, shifted)


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """A small case of any dense variant with any options."""
    E = draw(st.integers(1, 4))
    variant = draw(st.sampled_from([*BLOCKS, "shard_on_i_dropping"]))
    weights = draw(st.sampled_from(["plain", "fp8-row", "fp8-static"]))
    K = draw(st.integers(1, E))
    return Case(
        variant=variant, T=draw(st.integers(1, 260)), E=E, K=K, B=draw(st.sampled_from([40, 128, 200, 256])),
        H=draw(st.sampled_from([128, 256, 384])), I=draw(st.integers(2, 300)), skip_token=draw(st.booleans()),
        cores=draw(st.sampled_from([1, 2])), padding_blocks=draw(st.integers(0, 2)), weights=weights,
        fp8_inputs=draw(st.sampled_from(["none", "both"])) if weights != "plain" else "none",
        scaling=draw(st.sampled_from(list(ExpertAffinityScaleMode))), multiply_on_i=draw(st.booleans()),
        biases=draw(st.sampled_from(["both", "gate_up", "down", "none"])), skip_gate=draw(st.booleans()),
        up_offset=draw(st.sampled_from([0.0, 1.0])), gate_upper=draw(st.sampled_from([None, 0.5])),
        up_lower=draw(st.sampled_from([None, -0.4])), static_blocks=draw(st.sampled_from([None, 0, 1])),
        checkpoints=draw(st.booleans()), accumulating=K > 1 or draw(st.booleans()), seed=draw(st.integers(0, 99)),
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(any_case())
def test_any_combination_of_options_equals_the_reference(case: Case) -> None:
    inputs = build_inputs(case)
    blocks = inputs["block_to_expert"].size
    given = case.static_blocks if case.variant == "shard_on_i_hybrid" else None
    static = None if given is None else min(given, blocks)
    assert_matches_reference(run(replace(case, static_blocks=static), inputs))
