"""The MX implementations agree with the reference that quantises activations as the hardware does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_matches_reference, assert_same_bits, check, plan_of, reference, run

from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode, QuantizationType, moe_cte
from nkimoe.planning.plan import STREAMED
from nkimoe.planning.targets import TARGETS
from nkimoe.reference.mx import moe_cte_mx_reference
from nkimoe.reference.tolerance import distance

VARIANTS = ("shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid")
MX = Case(target="trn3", weights="mxfp4", T=150, H=512, I=96, E=3)
ON_BLOCK, ON_I, HYBRID = (replace(MX, variant=variant) for variant in VARIANTS)
EVERY = (ON_BLOCK, ON_I, HYBRID)


@cases(
    *EVERY,
    *(replace(case, cores=1, skip_token=False) for case in EVERY),
    *(replace(case, weights=weights) for case in EVERY for weights in ("mxfp8", "mxfp8-e5m2")),
    *(replace(case, scaling=mode, cores=1 + n % 2) for case in EVERY for n, mode in enumerate(ExpertAffinityScaleMode)),
    *(replace(case, multiply_on_i=True, scaling=ExpertAffinityScaleMode.PRE_SCALE) for case in EVERY),
    *(replace(ON_BLOCK, activation=activation) for activation in ActFnType),
    *(replace(ON_I, biases=biases, cores=cores) for biases in ("none", "gate_up", "down") for cores in (1, 2)),
    replace(ON_BLOCK, gate_upper=0.4, gate_lower=-0.3, up_upper=0.5, up_lower=-0.2, activation=ActFnType.Swish),
    replace(ON_I, gate_upper=0.4, up_lower=0.0),
    replace(HYBRID, up_upper=0.5, up_offset=1.0),
    replace(ON_BLOCK, skip_gate=True, biases="none"),
    replace(ON_I, skip_gate=True, activation=ActFnType.SquaredReLU, multiply_on_i=True),
    *(replace(case, K=1, accumulating=False) for case in EVERY),
    *(replace(case, skip_weight=True, routing="one_expert", K=1, T=300) for case in EVERY),
    *(replace(case, dtype="float16") for case in EVERY),
    replace(ON_BLOCK, strategy=BlockShardStrategy.HI_LO, conditions=None),
    replace(ON_BLOCK, per_core_output=True),
    replace(ON_I, routing="empty_experts", skip_token=False),
    replace(HYBRID, routing="some_tokens_nowhere"),
)
def test_every_option(case: Case) -> None:
    check(case)


@cases(
    *(replace(ON_BLOCK, I=I, cores=1, T=60) for I in (32, 64, 160, 384, 512, 544, 640, 1024, 1152)),
    *(replace(ON_I, I=I, T=60) for I in (64, 128, 256, 352, 512, 544, 640, 1024, 1152)),
    *(replace(ON_I, H=H, T=60) for H in (1024, 1536, 2560)),
    *(replace(case, B=B, T=B + 20) for case in (ON_BLOCK, ON_I) for B in (64, 200, 256, 640)),
)
def test_every_size(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, conditions=n, padding_blocks=1) for case in (ON_BLOCK, HYBRID) for n in (0, 1, 2)),
    *(
        replace(case, static_blocks=static, padding_blocks=padding, cores=cores)
        for case in (ON_BLOCK, HYBRID)
        for static in (0, 1, 3)
        for padding, cores in ((0, 2), (3, 2), (2, 1))
    ),
    *(replace(ON_BLOCK, dynamic_blocks=n, padding_blocks=2) for n in (0, 1, 3, 55)),
    replace(ON_BLOCK, conditions=None, padding_blocks=2),
    replace(ON_BLOCK, static_blocks=1, B=200, scaling=ExpertAffinityScaleMode.PRE_SCALE, skip_token=False),
    replace(ON_BLOCK, static_blocks=0, strategy=BlockShardStrategy.HI_LO, per_core_output=True),
)
def test_any_number_of_static_and_dynamic_blocks(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("skip_token", [True, False])
@pytest.mark.parametrize("real", [0, 1, 2, 3])
@pytest.mark.parametrize("case", [ON_BLOCK, HYBRID], ids=lambda case: case.variant)
def test_blocks_behind_the_conditions_are_not_computed(
    case: Case, real: int, skip_token: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the second core, which loops as often as the first, comes to such a block.

    Which shows with tokens in it. The host refuses those; a device does not look.
    """
    monkeypatch.delattr(moe_cte.function, "check_inputs")
    case = replace(case, static_blocks=0, skip_token=skip_token, padding_blocks=0)
    inputs = build_inputs(case)
    inputs["conditions"] = (np.arange(inputs["conditions"].size) < real).astype(np.int32)
    outcome = run(case, inputs)
    assert distance(outcome.output, reference(case, inputs)).rel_l2 < 5e-3


@cases(
    *(replace(case, weights=weights, carrier=True) for case in EVERY for weights in ("mxfp4", "mxfp8", "mxfp8-e5m2")),
    *(replace(case, packed_scales=True, H=H, I=I) for case in EVERY for H, I in ((512, 96), (2560, 128))),
    *(replace(case, packed_scales=True, I=I) for case in EVERY for I in (352, 1152)),
    *(
        replace(case, weights="mxfp8", mx_scales=scales, fp8_inputs=inputs, I=I)
        for case in EVERY
        for scales in (QuantizationType.STATIC_MX, QuantizationType.ROW_MX)
        for inputs, I in (("none", 160), ("both", 608))
    ),
    replace(ON_I, weights="mxfp4", mx_scales=QuantizationType.ROW_MX, fp8_inputs="down"),
)
def test_every_form_of_weights_and_scales(case: Case) -> None:
    check(case)


SHORT = {"H": 1024, "I": 1184, "T": 40, "E": 2, "K": 1, "weights": "mxfp8"}


@pytest.mark.parametrize(
    ("case", "room"),
    [
        (replace(ON_BLOCK, **SHORT), 48),
        (replace(ON_BLOCK, **SHORT), 64),
        (replace(ON_I, **SHORT), 44),
        (replace(HYBRID, **SHORT), 44),
        (replace(ON_I, H=2048, I=672, T=300, B=256, E=2, packed_scales=True), 50),
        pytest.param(replace(HYBRID, H=8192, I=4096, T=200, B=256, E=2, K=1), 240, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_weights_too_large_for_the_chip_are_streamed(case: Case, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "trn3", replace(TARGETS["trn3"], sbuf_bytes=room * 1024))
    inputs = build_inputs(case)
    assert plan_of(case, inputs).weights == STREAMED
    outcome = run(case, inputs)
    assert_matches_reference(outcome)
    assert outcome.run.profile.sbuf_peak_bytes <= room * 1024


@pytest.mark.parametrize("weights", ["mxfp4", "mxfp8"])
def test_quantised_activations_cost_a_known_error(weights: str) -> None:
    """A rounding to e4m3 is off by about 2.5 %, and x and act * u have one each."""
    case = replace(ON_BLOCK, weights=weights, I=256, T=100)
    inputs = build_inputs(case)
    output = run(case, inputs).output
    options = {"spec": case.spec(), "skip_token": True}
    exact = moe_cte_mx_reference(**inputs, **options, block_size=case.B, rule=None)
    quantised = distance(output, reference(case, inputs)).rel_l2
    unquantised = distance(output, exact).rel_l2
    assert quantised < 5e-3
    assert 0.01 < unquantised < 0.05


def test_the_scale_rule_of_the_device_is_the_one_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(ON_BLOCK, I=256, T=100)
    inputs = build_inputs(case)
    monkeypatch.setenv("NKISIM_MX_SCALE_RULE", "ocp")
    output = run(case, inputs).output
    ocp = moe_cte_mx_reference(**inputs, spec=case.spec(), skip_token=True, block_size=case.B, rule="floor")
    assert distance(output, ocp).rel_l2 < 5e-3
    assert distance(output, reference(case, inputs)).rel_l2 > 1e-2


def test_all_variants_agree() -> None:
    case = replace(ON_BLOCK, K=1, I=512)
    inputs = build_inputs(case)
    expected = run(case, inputs).output.astype(np.float32)
    for variant in VARIANTS[1:]:
        other = replace(case, variant=variant)
        given = {name: t for name, t in inputs.items() if name != "conditions" or other.extra_conditions is not None}
        assert distance(run(other, given).output, expected).rel_l2 < 2e-3


def test_unrolled_and_looped_blocks_give_the_same_bits() -> None:
    for case in (ON_BLOCK, HYBRID):
        case = replace(case, K=1, padding_blocks=1)
        expected = run(replace(case, static_blocks=0)).output
        for static in (1, 3):
            assert_same_bits(run(replace(case, static_blocks=static)).output, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_only_says_the_same_differently_changes_nothing(variant: str) -> None:
    """Tokens in another order, more padding blocks, affinities of twice the size, a block's slots in another order."""
    case = replace(MX, variant=variant, K=1, padding_blocks=0, skip_token=True, conditions=None)
    if variant == "shard_on_i_mx_hybrid":
        case = replace(case, conditions=1, static_blocks=1)
    inputs = build_inputs(case)
    expected = run(case, inputs).output

    more = build_inputs(replace(case, padding_blocks=2))
    assert_same_bits(run(replace(case, padding_blocks=2), more).output, expected)

    doubled = {**inputs, "expert_affinities_masked": inputs["expert_affinities_masked"] * 2}
    assert_same_bits(run(case, doubled).output, expected * 2)

    slots = np.random.default_rng(1).permuted(inputs["token_position_to_id"].reshape(-1, case.B), axis=1)
    assert_same_bits(run(case, {**inputs, "token_position_to_id": slots.reshape(-1)}).output, expected)

    order = np.random.default_rng(2).permutation(case.T)
    place = np.append(np.argsort(order), -1).astype(np.int32)
    affinities = inputs["expert_affinities_masked"].reshape(case.T, case.E)[order].reshape(-1, 1)
    moved = {
        **inputs,
        "hidden_states": inputs["hidden_states"][order],
        "expert_affinities_masked": affinities,
        "token_position_to_id": place[inputs["token_position_to_id"]],
    }
    assert_same_bits(run(case, moved).output, expected[order])
