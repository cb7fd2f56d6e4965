"""What moe_cte_backward refuses, by the name of the argument."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.gradients import backward_arguments, backward_plan, run_backward

from nkimoe import ExpertAffinityScaleMode, InputError, RequestError

CASE = Case(T=20, H=128, I=32)
ARGUMENTS = backward_arguments(CASE)


def fp8(name: str) -> Any:
    return ARGUMENTS[name].astype(ml_dtypes.float8_e4m3)


@pytest.mark.parametrize(
    ("argument", "value", "rule"),
    [
        ("expert_affinities_scaling_mode", ExpertAffinityScaleMode.PRE_SCALE, "is POST_SCALE"),
        ("expert_affinities_scaling_mode", ExpertAffinityScaleMode.NO_SCALE, "is POST_SCALE"),
        ("gate_up_proj_weight", fp8("gate_up_proj_weight"), "when training"),
        ("down_proj_weight", fp8("down_proj_weight"), "when training"),
        ("gate_up_activations_T", None, "is a tensor"),
        ("gate_up_activations_T", ARGUMENTS["gate_up_activations_T"][..., :-1], "has shape"),
        ("gate_up_activations_T", fp8("gate_up_activations_T"), "bfloat16, float16, float32"),
        ("output_hidden_states_grad", ARGUMENTS["output_hidden_states_grad"][:-1], "has shape"),
        ("output_hidden_states_grad", ARGUMENTS["output_hidden_states_grad"].astype(np.float32), "has the dtype"),
        ("output_hidden_states_grad", None, "is a tensor"),
        ("compute_dtype", "float8_e4m3", "is one of"),
        ("up_offset", float("nan"), "is a number"),
        ("gate_clamp_upper_limit", "7", "has the type float or None"),
        ("skip_gate_proj", 1, "has the type bool"),
        ("down_proj_bias", ARGUMENTS["down_proj_bias"][:, :-1], "has shape"),
        ("block_size", 100, "has shape"),
    ],
)
def test_is_refused_by_name(argument: str, value: Any, rule: str) -> None:
    with pytest.raises(RequestError, match=rule) as caught:
        backward_plan(CASE, {**ARGUMENTS, argument: value})
    assert caught.value.argument in (argument, "token_position_to_id")


def test_the_same_arguments_are_accepted() -> None:
    plan = backward_plan(CASE, ARGUMENTS)
    assert "1 pass(es) over all blocks" in plan.explain()


def test_what_does_not_fit_on_chip_is_refused() -> None:
    case = Case(T=2, H=8192, I=16, E=1, K=1, compute_dtype="float32")
    with pytest.raises(RequestError, match="columns of I with their gradients fit") as caught:
        backward_plan(case, backward_arguments(case))
    assert caught.value.argument == "down_proj_weight"


def test_blocks_of_an_expert_follow_each_other() -> None:
    case = Case(T=400, H=128, I=32, E=2, K=2, padding_blocks=0)
    arguments = backward_arguments(case)
    blocks = arguments["block_to_expert"]
    assert len(blocks) == 8
    order = np.array([0, 4, 1, 2, 3, 5, 6, 7])
    shuffled = {
        "block_to_expert": blocks[order],
        "token_position_to_id": arguments["token_position_to_id"].reshape(8, -1)[order].reshape(-1),
    }
    with pytest.raises(InputError, match="expert 0 again at 2") as caught:
        run_backward(case, {**arguments, **shuffled})
    assert caught.value.argument == "block_to_expert"


def test_values_that_mean_nothing_are_refused_as_in_the_forward_pass() -> None:
    ids = ARGUMENTS["token_position_to_id"].copy()
    ids[0] = CASE.T
    with pytest.raises(InputError) as caught:
        run_backward(CASE, ARGUMENTS, token_position_to_id=ids)
    assert caught.value.argument == "token_position_to_id"
