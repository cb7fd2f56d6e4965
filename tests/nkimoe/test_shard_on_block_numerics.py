"""shard_on_block agrees with the reference: biases, clamps, scaling, activations, data types."""

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import check, reference, run

from nkimoe import ActFnType, ExpertAffinityScaleMode

SMALL = Case(T=150, H=128, I=144)
NO_SCALE, POST_SCALE, PRE_SCALE, PRE_SCALE_DELAYED = ExpertAffinityScaleMode

# Biases ---------------------------------------------------------------------------------------------------------------


@cases(
    *(
        replace(SMALL, biases=biases, scaling=scaling)
        for biases in ("none", "gate_up", "down", "both")
        for scaling in ExpertAffinityScaleMode
    ),
    replace(SMALL, biases="both", activation=ActFnType.SquaredReLU),
    replace(SMALL, biases="gate_up", K=1, accumulating=False),
    replace(SMALL, biases="down", K=1, accumulating=False, skip_token=False),
    replace(SMALL, biases="both", B=512, T=700, I=208),
)
def test_each_bias_alone_both_and_none(case: Case) -> None:
    check(case)


def test_the_down_bias_alone_is_added_once_a_block_and_scaled_by_the_affinity() -> None:
    case = replace(SMALL, biases="down", K=1)
    inputs = build_inputs(case)
    inputs["hidden_states"][:] = 0  # SiLU(0) * 0 = 0: nothing but the bias is left
    affinities = inputs["expert_affinities_masked"].reshape(case.T, case.E)
    expected = affinities.astype(np.float32) @ inputs["down_proj_bias"].astype(np.float32)
    np.testing.assert_array_equal(run(case, inputs).output, expected.astype(affinities.dtype))


# Clamps ---------------------------------------------------------------------------------------------------------------

LIMITS = ("gate_upper", "gate_lower", "up_upper", "up_lower")


@cases(
    *(replace(SMALL, **{name: value}) for name in LIMITS for value in (0.3, 0.0, -0.2)),
    *(replace(SMALL, biases="none", **{name: 0.0}) for name in LIMITS),
    *(replace(SMALL, biases="none", **{name: -0.4 if name.endswith("lower") else 0.4}) for name in LIMITS),
    replace(SMALL, gate_upper=0.5, gate_lower=-0.5),
    replace(SMALL, up_upper=0.5, up_lower=-0.5),
    replace(SMALL, up_upper=0.5, up_lower=-0.5, biases="none"),
    replace(SMALL, gate_upper=0.5, up_upper=0.7, up_lower=-0.7),
    replace(SMALL, gate_upper=0.5, gate_lower=-1.0, up_upper=0.7, up_lower=-0.3),
    replace(SMALL, gate_upper=0.5, gate_lower=-1.0, up_upper=0.7, up_lower=-0.3, biases="none"),
    replace(SMALL, gate_upper=0.5, gate_lower=-1.0, up_upper=0.7, up_lower=-0.3, scaling=PRE_SCALE_DELAYED),
    replace(SMALL, gate_upper=0.5, gate_lower=-1.0, up_upper=0.7, up_lower=-0.3, skip_weight=True, T=600),
    replace(SMALL, gate_upper=0.5, gate_lower=0.5),
    replace(SMALL, gate_upper=7.0, up_upper=7.0, up_lower=-7.0, activation=ActFnType.Swish),
)
def test_each_limit_alone_and_all_together(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("biases", ["none", "gate_up"])
def test_a_limit_of_zero_is_a_limit(name: str, biases: str) -> None:
    case = replace(SMALL, biases=biases)
    inputs = build_inputs(case)
    limited, free = reference(replace(case, **{name: 0.0}), inputs), reference(case, inputs)
    assert np.linalg.norm(limited - free) > 0.1 * np.linalg.norm(free), "the case tells them apart"
    check(replace(case, **{name: 0.0}))


def test_infinite_limits_are_none() -> None:
    case = replace(SMALL, gate_upper=np.inf, gate_lower=-np.inf, up_upper=np.inf, up_lower=-np.inf)
    np.testing.assert_array_equal(run(case).output, run(SMALL).output)


def test_integers_are_limits() -> None:
    np.testing.assert_array_equal(run(replace(SMALL, up_upper=1)).output, run(replace(SMALL, up_upper=1.0)).output)


# Scaling --------------------------------------------------------------------------------------------------------------


@cases(
    *(
        replace(SMALL, scaling=scaling, skip_token=skip_token, cores=cores)
        for scaling in ExpertAffinityScaleMode
        for skip_token, cores in ((True, 1), (False, 2))
    ),
    *(replace(SMALL, scaling=scaling, B=512, T=700, I=48) for scaling in ExpertAffinityScaleMode),
    *(replace(SMALL, scaling=scaling, B=640, T=900, I=48) for scaling in ExpertAffinityScaleMode),
    *(replace(SMALL, scaling=scaling, dtype="float16") for scaling in ExpertAffinityScaleMode),
    *(replace(SMALL, scaling=scaling, compute_dtype="float32") for scaling in ExpertAffinityScaleMode),
    *(replace(SMALL, scaling=scaling, H=1280, I=16) for scaling in ExpertAffinityScaleMode),
)
def test_all_scaling_modes(case: Case) -> None:
    check(case)


def test_delayed_prescaling_is_prescaling_with_one_rounding_less() -> None:
    early, delayed = (
        replace(SMALL, scaling=scaling, compute_dtype="float32") for scaling in (PRE_SCALE, PRE_SCALE_DELAYED)
    )
    np.testing.assert_allclose(
        run(early).output.astype(np.float32), run(delayed).output.astype(np.float32), rtol=2**-7, atol=1e-3
    )


# Activations ----------------------------------------------------------------------------------------------------------


@cases(
    *(replace(SMALL, activation=activation) for activation in ActFnType),
    *(replace(SMALL, activation=activation, biases="none", gate_upper=0.6) for activation in ActFnType),
    *(replace(SMALL, activation=activation, scaling=PRE_SCALE, K=4, cores=1) for activation in ActFnType),
    *(replace(SMALL, activation=activation, dtype="float16", skip_token=False) for activation in ActFnType),
)
def test_all_activations(case: Case) -> None:
    check(case)


def test_activations_differ_by_more_than_the_tolerance() -> None:
    """Otherwise the tests above could not tell one from another."""
    inputs = build_inputs(SMALL)
    outputs = [reference(replace(SMALL, activation=activation), inputs) for activation in ActFnType]
    norm = np.linalg.norm(outputs[0])
    distances = {
        (a.name, b.name): float(np.linalg.norm(outputs[i] - outputs[j]) / norm)
        for i, a in enumerate(ActFnType)
        for j, b in enumerate(ActFnType)
        if i < j
    }
    close = {pair for pair, distance in distances.items() if distance < 6e-3}
    assert close == {("GELU", "GELU_Tanh_Approx")}


@pytest.mark.parametrize("activation", [ActFnType.GELU, ActFnType.GELU_Tanh_Approx], ids=lambda member: member.name)
def test_the_two_gelus_are_told_apart_in_fp16(activation: ActFnType) -> None:
    """Their difference is below the roundings, so look along it: 0 is the right one, 1 the other."""
    case = replace(SMALL, dtype="float16", activation=activation, biases="none", K=1, accumulating=False)
    inputs = build_inputs(case)
    other = ActFnType.GELU if activation is ActFnType.GELU_Tanh_Approx else ActFnType.GELU_Tanh_Approx
    expected, wrong = (reference(replace(case, activation=a), inputs) for a in (activation, other))
    error, towards_wrong = run(case, inputs).output.astype(np.float32) - expected, wrong - expected
    assert abs(np.vdot(error, towards_wrong)) < 0.1 * np.vdot(towards_wrong, towards_wrong)


# Data types -----------------------------------------------------------------------------------------------------------


@cases(
    replace(SMALL, dtype="float16"),
    replace(SMALL, dtype="float16", skip_token=False, skip_weight=True, T=600),
    replace(SMALL, dtype="float16", B=384, T=500),
    replace(SMALL, dtype="float16", compute_dtype="bfloat16"),
    replace(SMALL, dtype="float16", compute_dtype="bfloat16", skip_weight=True, T=600, skip_token=False),
    replace(SMALL, dtype="float16", compute_dtype="float32"),
    replace(SMALL, dtype="float16", compute_dtype="float32", per_core_output=True),
    replace(SMALL, compute_dtype="float32"),
    replace(SMALL, compute_dtype="float32", skip_token=False),
    replace(SMALL, compute_dtype="float32", B=512, T=700),
    replace(SMALL, compute_dtype="float32", skip_weight=True, T=600),
    replace(SMALL, compute_dtype="float32", K=1, accumulating=False),
    replace(SMALL, compute_dtype="float32", H=1280, I=208),
    replace(SMALL, compute_dtype="float16"),
)
def test_types_of_inputs_and_of_computation(case: Case) -> None:
    check(case)


def test_exact_arithmetic_gives_the_reference_rounded_once() -> None:
    """With sums exact in fp32 and one block a token, the output is the rounded reference, bit for bit."""
    case = Case(values="dyadic", activation=ActFnType.ReLU, K=1, compute_dtype="float32", T=300)
    for changed in (case, replace(case, accumulating=False), replace(case, scaling=PRE_SCALE, skip_token=False)):
        outcome = run(changed)
        expected = reference(changed, outcome.inputs).astype(outcome.output.dtype)
        np.testing.assert_array_equal(outcome.output, expected)
