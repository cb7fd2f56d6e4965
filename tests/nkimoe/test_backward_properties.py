"""What must hold for gradients of any routing, and what must not change when a call only says the same differently.

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
from support.gradients import assert_golden, backward_arguments, check_backward, run_backward
from support.inputs import build_inputs, route
from support.launch import assert_same_bits, run
from support.routings import expert_lists

from nkimoe import ActFnType

EXACT = Case(T=300, H=128, I=48, E=3, K=2, values="dyadic", activation=ActFnType.ReLU)
OF_TOKENS = ("hidden_states", "expert_affinities_masked")


def exact_arguments(case: Case, ids: Any, weights: Any, order: Any = None) -> dict[str, Any]:
    """Arguments with dyadic gradients of the output, tokens taken in `order`."""
    inputs = build_inputs(case)
    d_output = np.random.default_rng(11).integers(-2, 3, inputs["hidden_states"].shape) / 2
    rows = np.arange(case.T) if order is None else order
    hidden = inputs["hidden_states"].copy()
    hidden[: case.T] = hidden[rows]
    d_output[: case.T] = d_output[rows]
    arguments = backward_arguments(
        case, {**inputs, "hidden_states": hidden, **route(case, ids[rows], weights[rows])}
    )  # fmt: skip
    return {**arguments, "output_hidden_states_grad": d_output.astype(hidden.dtype)}


def routing_of(case: Case) -> tuple[Any, Any]:
    """Experts and weights [T, K], dyadic."""
    rng = np.random.default_rng(case.seed + 1)
    ids = np.argsort(rng.random((case.T, case.E)), axis=1)[:, : case.K].astype(np.int32)
    return ids, rng.choice([0.25, 0.5, 1.0], ids.shape)


def assert_same_gradients(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(actual) == list(expected)
    for name, gradient in actual.items():
        assert_same_bits(gradient, expected[name])


@st.composite
def routed_cases(draw: st.DrawFn) -> tuple[Case, Any]:
    """A small case, and experts [T, K] with unrouted pairs anywhere."""
    T, E = draw(st.integers(1, 300)), draw(st.integers(1, 6))
    case = Case(
        T=T, H=128, I=draw(st.sampled_from([32, 48, 144])), E=E, K=draw(st.integers(1, min(E, 4))),
        B=draw(st.sampled_from([48, 128, 256])), padding_blocks=draw(st.integers(0, 3)),
        skip_token=draw(st.booleans()), cores=draw(st.sampled_from([1, 2])), skip_gate=draw(st.booleans()),
        activation=draw(st.sampled_from(list(ActFnType))), seed=draw(st.integers(0, 99)),
        biases=draw(st.sampled_from(["both", "gate_up", "down", "none"])), compute_dtype="float32",
    )  # fmt: skip
    return case, draw(expert_lists(T, E, case.K))


@settings(max_examples=15, deadline=None)
@given(routed_cases())
def test_any_routing_gives_the_golden_gradients(drawn: tuple[Case, Any]) -> None:
    case, ids = drawn
    weights = np.random.default_rng(case.seed).uniform(0.2, 1, ids.shape)
    assert_golden(run_backward(case, backward_arguments(case, {**build_inputs(case), **route(case, ids, weights)})))


@cases(EXACT, replace(EXACT, skip_token=False, cores=1))
def test_permuting_tokens_permutes_their_gradients_and_no_others(case: Case) -> None:
    ids, weights = routing_of(case)
    order = np.random.default_rng(7).permutation(case.T)
    before = run_backward(case, exact_arguments(case, ids, weights)).found
    after = run_backward(case, exact_arguments(case, ids, weights, order)).found
    for name, gradient in after.items():
        expected = before[name].copy()
        if name in OF_TOKENS:
            rows = expected.reshape(len(before["hidden_states"]), -1)
            rows[: case.T] = rows[order]
        assert_same_bits(gradient, expected)


@pytest.mark.parametrize("changes", [{"B": 256}, {"B": 48}, {"cores": 1}, {"padding_blocks": 4}], ids=str)
def test_how_the_work_is_cut_changes_no_bit(changes: dict[str, Any]) -> None:
    ids, weights = routing_of(EXACT)
    other = replace(EXACT, **changes)
    expected = run_backward(EXACT, exact_arguments(EXACT, ids, weights)).found
    assert all(gradient.any() for gradient in expected.values())
    assert_same_gradients(run_backward(other, exact_arguments(other, ids, weights)).found, expected)


def test_twice_the_gradient_of_the_output_doubles_every_gradient() -> None:
    case = Case(T=150, H=256, I=96, gate_upper=0.5, up_lower=-0.25)
    arguments = backward_arguments(case)
    twice = arguments["output_hidden_states_grad"] * 2
    once = run_backward(case, arguments).found
    doubled = {name: (2 * gradient.astype(np.float32)).astype(gradient.dtype) for name, gradient in once.items()}
    assert_same_gradients(run_backward(case, arguments, output_hidden_states_grad=twice).found, doubled)


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid", "shard_on_i_dropping"])
def test_activations_of_every_dense_kernel_will_do(variant: str) -> None:
    """What the simulated forward pass keeps, pad slots included."""
    case = Case(variant=variant, T=200, H=256, I=96, B=200, multiply_on_i=True)
    forward = run(replace(case, checkpoints=variant != "shard_on_i_dropping"))
    (kept,) = forward.checkpoints
    check_backward(case, gate_up_activations_T=kept)


@pytest.mark.parametrize(
    "of",
    ["hidden_states", "expert_affinities_masked", "gate_up_proj_weight", "down_proj_weight", "gate_and_up_proj_bias",
     "down_proj_bias"],
)  # fmt: skip
def test_gradients_are_slopes_of_the_forward_kernel(of: str) -> None:
    """Finite differences along the signs of the gradient; the steps are those that fp16 makes of them."""
    case = Case(T=40, H=128, I=32, E=3, dtype="float16", compute_dtype="float32", checkpoints=True, multiply_on_i=True)
    inputs, arguments = build_inputs(case), backward_arguments(case)
    kept = run(case).checkpoints[0]
    gradient = run_backward(case, arguments, gate_up_activations_T=kept).found[of].astype(np.float64)
    d_output = arguments["output_hidden_states_grad"].astype(np.float64)

    def loss(side: int) -> tuple[float, Any]:
        moved = (inputs[of] + side * np.sign(gradient) * 2.0**-7).astype(np.float16)
        return float((run(case, {**inputs, of: moved}).output * d_output).sum()), moved.astype(np.float64)

    (above, after), (below, before) = loss(1), loss(-1)
    assert (gradient * (after - before)).sum() == pytest.approx(above - below, rel=2e-2)
