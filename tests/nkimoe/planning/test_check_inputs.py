"""Values that no routing can mean are found on the host, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import run

from nkimoe import BlockShardStrategy, InputError, check_inputs
from nkimoe.planning.finite_values import FINITE
from nkisim.observe import Recorder

SKIP = Case(T=150, H=128, I=32, E=3, K=2)
ROW = replace(SKIP, skip_token=False)
Change = Callable[[dict[str, Any]], None]


def refused(case: Case, change: Change) -> InputError:
    """The error of a call, after making sure that nothing ran."""
    inputs, recorder = build_inputs(case), Recorder()
    change(inputs)
    with pytest.raises(InputError) as caught:
        run(case, inputs, observers=[recorder])
    assert recorder.events == []
    return caught.value


def put(name: str, index: Any, value: Any) -> Change:
    def change(inputs: dict[str, Any]) -> None:
        inputs[name][index] = value

    return change


@pytest.mark.parametrize(
    ("case", "position", "value"),
    [(SKIP, 3, -2), (SKIP, 0, 150), (SKIP, -1, 2**31 - 1), (ROW, 3, -1), (ROW, 0, 151), (ROW, -1, -(2**31))],
)
def test_a_token_id_out_of_range_is_found_at_its_position(case: Case, position: int, value: int) -> None:
    error = refused(case, put("token_position_to_id", position, value))
    assert error.argument == "token_position_to_id"
    size = build_inputs(case)["token_position_to_id"].size
    assert f"{value} at {position % size}" in str(error)


@pytest.mark.parametrize(("position", "value"), [(0, -1), (0, 3), (0, 1000), (-1, -2), (-1, 4)])
def test_an_expert_out_of_range_is_found_even_in_a_padding_block(value: int, position: int) -> None:
    error = refused(SKIP, put("block_to_expert", position, value))
    assert error.argument == "block_to_expert"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", FINITE)
def test_a_value_that_is_not_finite_is_found_in_every_tensor(name: str, value: float, dtype: str) -> None:
    case = replace(SKIP, dtype=dtype)
    if name.endswith("_scale"):
        case = replace(case, weights="fp8-row", fp8_inputs="both", hidden_scales="tokens")
    last = tuple(n - 1 for n in build_inputs(case)[name].shape)
    error = refused(case, put(name, last, value))
    assert error.argument == name
    assert f"at {last}" in str(error)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_largest_and_smallest_finite_values_are_fine(dtype: str) -> None:
    inputs = build_inputs(replace(SKIP, dtype=dtype))
    import ml_dtypes

    limits = ml_dtypes.finfo(inputs["down_proj_bias"].dtype)
    values = [limits.max, limits.min, limits.smallest_subnormal, -limits.smallest_subnormal, -0.0]
    inputs["down_proj_bias"][0, : len(values)] = values
    check_inputs(**inputs, **SKIP.options())


@pytest.mark.parametrize("dtype", ["float8_e4m3", "float8_e5m2"])
@pytest.mark.parametrize("name", ["gate_up_proj_weight", "down_proj_weight"])
def test_codes_that_are_not_numbers_are_found(name: str, dtype: str) -> None:
    case = replace(SKIP, weights="fp8-static", fp8=dtype)
    check_inputs(**build_inputs(case), **case.options())
    assert refused(case, put(name, (0, 1), np.nan)).argument == name


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("name", ["gate_up_in_scale", "down_in_scale"])
def test_activations_are_divided_by_a_positive_scale(name: str, value: float) -> None:
    case = replace(SKIP, weights="fp8-static", fp8_inputs="both")
    assert refused(case, put(name, (1, 0), value)).argument == name


@pytest.mark.parametrize("name", ["token_position_to_id", "block_to_expert"])
def test_integers_of_another_width_are_named(name: str) -> None:
    def widen(inputs: dict[str, Any]) -> None:
        inputs[name] = inputs[name].astype(np.int64)

    error = refused(SKIP, widen)
    assert str(error) == f"{name}: is int32; got int64. Cast it."


@pytest.mark.parametrize("name", ["hidden_states", "expert_affinities_masked"])
def test_the_pad_row_is_zero(name: str) -> None:
    assert refused(ROW, put(name, (-1, -1), 0.5)).argument == name
    if name == "hidden_states":
        run(SKIP, {**build_inputs(SKIP)})  # without a pad row the last row is a token


def test_a_token_has_one_slot_in_a_block() -> None:
    inputs = build_inputs(SKIP)
    first = inputs["token_position_to_id"][:2]
    error = refused(SKIP, put("token_position_to_id", 1, int(first[0])))
    assert error.argument == "token_position_to_id"
    assert f"{first[0]} twice in block 0" in str(error)


def test_pads_and_tokens_of_other_blocks_may_repeat() -> None:
    check_inputs(**build_inputs(SKIP), **SKIP.options())
    check_inputs(**build_inputs(ROW), **ROW.options())


def test_without_accumulation_a_token_has_one_block() -> None:
    error = refused(replace(SKIP, accumulating=False), lambda inputs: None)
    assert error.argument == "is_tensor_update_accumulating"
    run(replace(SKIP, K=1, accumulating=False))


@pytest.mark.parametrize("strategy", BlockShardStrategy, ids=lambda member: member.name)
def test_a_broken_promise_of_disjoint_shards_is_found(strategy: BlockShardStrategy) -> None:
    case = replace(SKIP, non_overlapping=True, strategy=strategy, padding_blocks=0)
    error = refused(case, lambda inputs: None)
    assert error.argument == "spec.shard_on_block.non_overlapping_shards"


def test_the_promise_is_judged_by_the_strategy() -> None:
    case = Case(T=256, H=128, I=32, routing="two_halves", non_overlapping=True, padding_blocks=0)
    run(replace(case, strategy=BlockShardStrategy.HI_LO))
    refused(replace(case, strategy=BlockShardStrategy.PING_PONG), lambda inputs: None)


@pytest.mark.parametrize(
    ("conditions", "found"),
    [([1, 2, 0], "2 at 1"), ([1, -1, 0], "-1 at 1"), ([1, 0, 1], "a one after a zero at 2"), ([0, 1], "at 1")],
)
def test_conditions_are_ones_then_zeros(conditions: list[int], found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        check_inputs(**build_inputs(SKIP), **SKIP.options(), conditions=np.array(conditions, np.int32))
    assert caught.value.argument == "conditions"


@pytest.mark.parametrize("conditions", [[1, 1, 0], [0, 0], [1], []])
def test_a_prefix_of_ones_is_a_condition(conditions: list[int]) -> None:
    check_inputs(**build_inputs(SKIP), **SKIP.options(), conditions=np.array(conditions, np.int32))


@pytest.mark.parametrize("case", [SKIP, ROW], ids=["pads of -1", "pads of T"])
@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i_hybrid"])
@pytest.mark.parametrize("static", [0, 1, 3])
def test_conditions_that_end_before_a_block_with_a_token_are_refused(case: Case, variant: str, static: int) -> None:
    case = replace(case, variant=variant, static_blocks=static, conditions=1, padding_blocks=2, K=3, B=64)
    inputs = build_inputs(case)
    real = int(inputs["conditions"].sum())
    assert real > 3
    for ones in range(real, len(inputs["block_to_expert"]) + 1):
        run(case, {**inputs, "conditions": (np.arange(inputs["conditions"].size) < ones).astype(np.int32)})
    for ones in range(real):
        error = refused(case, put("conditions", slice(ones, None), 0))
        assert error.argument == "conditions"
        assert f"block {ones}," in str(error)


def test_columns_are_checked_like_vectors() -> None:
    inputs = build_inputs(SKIP)
    inputs["token_position_to_id"] = inputs["token_position_to_id"][:, None]
    inputs["block_to_expert"] = inputs["block_to_expert"][:, None]
    check_inputs(**inputs, **SKIP.options())
    inputs["token_position_to_id"][5] = 150
    with pytest.raises(InputError, match="150 at 5"):
        check_inputs(**inputs, **SKIP.options())


def test_sizes_that_disagree_are_left_to_the_rules_on_shapes() -> None:
    inputs, options = build_inputs(SKIP), SKIP.options()
    for name, value in {
        "token_position_to_id": np.full(77, 10**6, np.int32),
        "hidden_states": np.full(3, np.nan, np.float16),
        "expert_affinities_masked": np.full(5, np.nan, np.float16),
        "block_size": "128",
        "skip_dma": True,
        "spec": options["spec"].implementation,
    }.items():
        check_inputs(**{**inputs, **options, name: value})
