"""Scales of activations that came quantised, of tokens or of experts, multiply the products of both projections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.case import Case, cases
from support.checkpoints import check_checkpoints
from support.inputs import build_inputs
from support.launch import assert_matches, assert_same_bits, check, reference, run

from nkimoe import ExpertAffinityScaleMode, RequestError

SMALL = Case(T=60, H=256, I=208)
VARIANTS = ("shard_on_block", "shard_on_i", "shard_on_i_hybrid", "shard_on_i_dropping")
WEIGHTS = ("fp8-row", "fp8-static", "fp8-block", "int8")
ALL = [
    replace(SMALL, variant=variant, weights=weights, hidden_scales=scales)
    for variant in VARIANTS
    for weights in WEIGHTS
    for scales in ("tokens", "experts")
]
BOTH = ALL[:6] + ALL[8:14]
ROW = replace(SMALL, weights="fp8-row", hidden_scales="tokens")


@cases(
    *ALL,
    *(replace(case, biases="none", skip_token=False) for case in BOTH),
    *(replace(case, scaling=mode) for case in BOTH[::5] for mode in ExpertAffinityScaleMode),
    *(replace(case, multiply_on_i=True, skip_gate=True) for case in BOTH),
    *(replace(case, cores=1, B=256, T=500, I=400, gate_upper=0.5) for case in BOTH[:6]),
    replace(ROW, static_blocks=1, conditions=0, T=500, E=5),
    replace(BOTH[4], skip_weight=True, K=1, E=3, T=300),
    *(replace(case, B=B, T=150) for case in BOTH for B in (48, 200)),
)
def test_products_are_multiplied(case: Case) -> None:
    check(case)


@cases(*(replace(case, checkpoints=True) for case in BOTH[6:]))
def test_checkpoints_hold_what_was_multiplied(case: Case) -> None:
    check_checkpoints(check(case))


@cases(*(replace(case, values="dyadic", biases="none") for case in BOTH[:2]))
def test_a_scale_is_what_the_scale_of_weights_would_be(case: Case) -> None:
    """Scales of tokens that are all alike, or of experts, may move from the weights to the activations."""
    inputs = build_inputs(case)
    rows, E = len(inputs["hidden_states"]), case.E
    shapes = ((rows, 1), (rows, 1)) if case.hidden_scales == "tokens" else ((E, 2, 1), (E, 1))
    moved = {n: np.full(s, 4, np.float32) for n, s in zip(("gate_up", "down"), shapes, strict=True)}
    for which, scale in moved.items():
        inputs[f"{which}_hidden_scale"] = np.ones_like(scale)
    there = dict(inputs)
    for which, scale in moved.items():
        there[f"{which}_hidden_scale"] = scale
        there[f"{which}_proj_scale"] = inputs[f"{which}_proj_scale"] / np.float32(4)
    assert_same_bits(run(case, there).output, run(case, inputs).output)


def test_either_may_be_given_alone() -> None:
    inputs = build_inputs(ROW)
    for name in ("gate_up_hidden_scale", "down_hidden_scale"):
        alone = {key: value for key, value in inputs.items() if key != name}
        assert_matches(run(ROW, alone), reference(ROW, alone))


BAD: list[tuple[str, dict[str, Any]]] = [
    ("gate_up_hidden_scale", {"gate_up_hidden_scale": np.ones((61, 1), np.float32)}),
    ("gate_up_hidden_scale", {"gate_up_hidden_scale": np.ones((4, 1), np.float32)}),
    ("down_hidden_scale", {"down_hidden_scale": np.ones((4, 2, 1), np.float32)}),
    ("down_hidden_scale", {"down_hidden_scale": np.ones((60, 1), np.float16)}),
    ("gate_up_hidden_scale", {"gate_up_in_scale": np.ones((4, 1), np.float32)}),
    ("down_hidden_scale", {"down_in_scale": np.ones((4, 1), np.float32)}),
]


@pytest.mark.parametrize(("argument", "changes"), BAD)
def test_other_shapes_and_a_second_quantisation_are_refused(argument: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        run(ROW, {**build_inputs(ROW), **changes})
    assert caught.value.argument == argument


def test_weights_without_scales_and_scales_that_could_be_of_either_are_refused() -> None:
    plain = replace(ROW, weights="plain")
    with pytest.raises(RequestError, match="gate_up_hidden_scale: multiplies products of quantised weights"):
        run(plain)
    few = replace(ROW, T=4, E=4, hidden_scales="experts")
    with pytest.raises(RequestError, match="down_hidden_scale: is of tokens or of experts"):
        run(few)
    with pytest.raises(RequestError, match="gate_up_hidden_scale: is for activations that the caller quantised"):
        run(replace(ROW, weights="int8", int8_inputs=True))
