"""`moe_cte` with pairs: a row for each choice of a token, and affinities that come with the slots."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.case import Case, cases
from support.inputs import build_inputs, route
from support.launch import Outcome, assert_matches, assert_same_bits, plan_of, reference, run
from support.pairs import with_pairs
from support.routings import expert_lists
from support.sums import assert_same_sums

from nkimoe import (
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    InputError,
    RequestError,
    SkipMode,
    moe_cte,
)
from nkimoe.planning.output_forms import BY_CHOICE
from nkimoe.reference import moe_cte_reference
from nkimoe.routing import pair_blocks, static_block_count
from nkisim import Simulator


def run_with_pairs(case: Case, inputs: dict[str, Any], **changes: Any) -> Outcome:
    """The case's own inputs, beside what the kernel took."""
    done = run(case, with_pairs(case, inputs, **changes))
    return replace(done, inputs=inputs)


@cases(
    Case(),
    Case(cores=1, K=3),
    Case(T=300, conditions=1, static_blocks=0),
    Case(T=700, E=6, K=3, conditions=2, static_blocks=2, strategy=BlockShardStrategy.HI_LO),
    Case(T=2100, E=3, K=1, conditions=0, static_blocks=2, padding_blocks=1, strategy=BlockShardStrategy.HI_LO),
    Case(T=150, B=72, I=208, routing="some_tokens_nowhere"),
    Case(T=150, B=72, conditions=1, static_blocks=1, routing="some_tokens_nowhere", shuffled=False),
    Case(T=130, routing="one_expert", padding_blocks=0),
    Case(T=200, routing="empty_experts", scaling=ExpertAffinityScaleMode.NO_SCALE),
    Case(T=200, scaling=ExpertAffinityScaleMode.PRE_SCALE, conditions=1, static_blocks=0),
    Case(T=200, scaling=ExpertAffinityScaleMode.PRE_SCALE_DELAYED, multiply_on_i=True),
    Case(T=200, checkpoints=True, dtype="float16"),
    Case(T=200, accumulating=False, K=1),
    Case(variant="shard_on_i", K=3, H=384),
    Case(variant="shard_on_i", routing="some_tokens_nowhere"),
    Case(variant="shard_on_i_hybrid", T=500, static_blocks=1, H=384),
    Case(variant="shard_on_i_dropping", T=100, B=100),
    Case(T=200, weights="fp8-row"),
    Case(T=200, weights="int8", int8_inputs=True, conditions=1, static_blocks=1),
    Case(variant="shard_on_block_mx", target="trn3", H=512, I=512, weights="mxfp4", K=3),
    Case(variant="shard_on_i_mx", target="trn3", H=1024, I=512, weights="mxfp8"),
    Case(variant="shard_on_i_mx_hybrid", target="trn3", H=1024, I=512, weights="mxfp8", static_blocks=0),
)
def test_rows_of_choices_add_up_to_the_reference(case: Case) -> None:
    inputs = build_inputs(case)
    outcome = run_with_pairs(case, inputs)
    assert_matches(outcome, reference(case, inputs))


@st.composite
def routed_cases(draw: st.DrawFn) -> tuple[Case, Any]:
    """A small case of any split, with or without device loop, and experts [T, K] with unrouted pairs anywhere."""
    T, E = draw(st.integers(1, 300)), draw(st.integers(1, 6))
    variant = draw(st.sampled_from(["shard_on_block", "shard_on_i", "shard_on_i_hybrid"]))
    loops = {"conditions": 1, "static_blocks": 0} if variant != "shard_on_i" and draw(st.booleans()) else {}
    case = Case(
        variant=variant, T=T, H=draw(st.sampled_from([128, 384])), I=draw(st.sampled_from([16, 48, 144])), E=E,
        K=min(draw(st.integers(1, E)), 4), B=draw(st.sampled_from([32, 100, 128, 200])),
        padding_blocks=draw(st.integers(0, 3)), cores=draw(st.sampled_from([1, 2])),
        strategy=draw(st.sampled_from(list(BlockShardStrategy))),
        scaling=draw(st.sampled_from(list(ExpertAffinityScaleMode))), seed=draw(st.integers(0, 99)),
        dtype=draw(st.sampled_from(["bfloat16", "float16"])), **loops,
    )  # fmt: skip
    return case, draw(expert_lists(T, E, case.K))


@settings(max_examples=40, deadline=None)
@given(routed_cases())
def test_any_routing_with_pairs_equals_the_reference(drawn: tuple[Case, Any]) -> None:
    case, ids = drawn
    weights = np.random.default_rng(case.seed).uniform(0.2, 1, ids.shape)
    inputs = {**build_inputs(case), **route(case, ids, weights)}
    assert_matches(run_with_pairs(case, inputs), reference(case, inputs))


@cases(
    Case(K=3), Case(K=3, B=72), Case(K=3, cores=1), Case(K=3, conditions=1, static_blocks=0), Case(K=3, shuffled=True)
)
def test_the_bits_depend_on_nothing_but_the_choices(case: Case) -> None:
    plain = Case(K=3)
    expected = run_with_pairs(plain, build_inputs(plain)).output
    assert_same_sums(run_with_pairs(case, build_inputs(case)).output, expected)


@pytest.mark.parametrize("weights", ["fp8-row", "int8"])
def test_blocks_of_few_slots_multiply_by_row_scales_to_the_same_bits(weights: str) -> None:
    def output(B: int) -> Any:
        case = Case(T=140, H=1152, K=3, B=B, weights=weights, int8_inputs=weights == "int8")
        return run_with_pairs(case, build_inputs(case)).output

    assert_same_bits(output(64), output(128))


def test_sums_in_fp32_are_nearer_than_rounded_rows() -> None:
    case = Case(T=64, K=4)
    inputs = build_inputs(case)
    expected = reference(case, inputs)
    errors = [
        np.abs(run_with_pairs(case, inputs, rounds_each=rounds).output.astype(np.float32) - expected).sum()
        for rounds in (False, True)
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("n_blocks", [None, static_block_count(150, 3, 5, 64)], ids=["real_blocks", "for_any_routing"])
def test_the_host_builds_pairs_and_blocks_together(n_blocks: int | None) -> None:
    rng = np.random.default_rng(0)
    T, H, I, E, K, B = 150, 128, 48, 5, 3, 64
    ids = np.argsort(rng.random((T, E)), axis=1)[:, :K].astype(np.int32)
    gates = rng.random((T, K), dtype=np.float32)
    x = rng.standard_normal((T, H)).astype(np.float16)
    gate_up = (rng.standard_normal((E, H, 2, I)) / 11).astype(np.float16)
    down = (rng.standard_normal((E, I, H)) / 7).astype(np.float16)
    blocks = pair_blocks(ids, gates, E, B, n_blocks)
    out = Simulator("trn2", lnc=2).run(
        moe_cte, x, None, gate_up, down, blocks.tokens, blocks.block_to_expert, B, Case().spec(),
        skip_dma=SkipMode(skip_token=True), conditions=blocks.conditions, compute_dtype="float16", pairs=blocks.pairs,
    ).outputs  # fmt: skip
    table = np.zeros((T, E), np.float32)
    np.put_along_axis(table, ids, gates, axis=1)
    tensors = x, table.reshape(-1, 1), gate_up, down, blocks.tokens, blocks.block_to_expert
    expected = moe_cte_reference(*tensors, B, skip_token=True)
    assert np.abs(out.astype(np.float32) - expected).max() < 2e-2


def test_blocks_that_pairs_surely_fill_are_unrolled() -> None:
    case = Case(T=1000, K=4, E=6, conditions=1)
    inputs = with_pairs(case, build_inputs(case))
    plan = plan_of(case, inputs)
    assert (plan.output, plan.static_blocks) == (BY_CHOICE, 4000 // 128)
    gaps = {**inputs, "pairs": replace(inputs["pairs"], has_gaps=True)}
    assert plan_of(case, gaps).static_blocks == 0


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"positions": np.zeros(3, np.int32)}, "pairs.positions"),
        ({"positions": None}, "pairs.positions"),
        ({"weights": np.zeros(7, np.float32)}, "pairs.weights"),
        ({"choices": 0}, "pairs.choices"),
        ({"choices": True}, "pairs.choices"),
        ({"choices": 1 << 20}, "pairs.choices"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_tables_of_another_form_are_refused(change: dict[str, Any], rule: str) -> None:
    case = Case()
    inputs = with_pairs(case, build_inputs(case))
    with pytest.raises(RequestError, match=rule):
        plan_of(case, {**inputs, "pairs": replace(inputs["pairs"], **change)})


def test_what_pairs_exclude_is_refused_by_name() -> None:
    case = Case()
    inputs, table = with_pairs(case, build_inputs(case)), build_inputs(case)["expert_affinities_masked"]
    with pytest.raises(RequestError, match="does not come beside pairs"):
        run(case, {**inputs, "expert_affinities_masked": table})
    with pytest.raises(RequestError, match="is None only where"):
        run(case, {**inputs, "pairs": None})
    with pytest.raises(RequestError, match="pad ids of -1"):
        plan_of(replace(case, skip_token=False), inputs)
    for other_form in (replace(case, per_core_output=True), replace(case, non_overlapping=True)):
        with pytest.raises(RequestError, match="excludes other forms of the output"):
            plan_of(other_form, inputs)


def test_tables_that_disagree_are_refused_before_the_launch() -> None:
    case = Case()
    inputs = with_pairs(case, build_inputs(case))
    pairs = inputs["pairs"]
    real = np.flatnonzero(inputs["token_position_to_id"] >= 0)

    def refused(rule: str, positions: Any = pairs.positions, **changes: Any) -> None:
        with pytest.raises(InputError, match=rule):
            run(case, {**inputs, "pairs": replace(pairs, positions=positions, **changes)})

    refused("holds token", np.roll(pairs.positions, 1))
    twice = pairs.positions.copy()
    twice[real] = inputs["token_position_to_id"][real] * case.K
    refused("names a pair once", twice)
    pads = pairs.positions.copy()
    pads[inputs["token_position_to_id"] < 0] = 0
    refused("or more in pads", pads)
    missing = inputs["token_position_to_id"].copy()
    missing[real[0]], pads = -1, np.where(np.arange(len(missing)) == real[0], case.T * case.K, pairs.positions)
    with pytest.raises(InputError, match="has a slot for each pair"):
        run(case, {**inputs, "token_position_to_id": missing, "pairs": replace(pairs, positions=pads)})
    refused("is finite", weights=np.where(pairs.weights > 0, np.float32("nan"), np.float32(0)))
