"""Every cell of the matrix of features and variants: what it promises works, what it refuses is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import assert_matches, plan_of, reference, run
from support.pairs import with_pairs

from nkimoe import (
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    QuantizationType,
    RequestError,
    ShardOnBlockConfig,
    ShardOnIConfig,
)
from nkimoe.planning.features import FEATURES, ON_DENSE, ON_MX, Feature
from nkimoe.planning.plan import make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import VARIANTS

CASE = Case(T=60, H=128, I=32, E=2, K=1, biases="none", skip_token=False)
MX_CASE = replace(CASE, target="trn3", weights="mxfp8", H=512, I=64)
N, B, H, I = 2, 128, 128, 32  # of CASE, with a block an expert

# As fields of a case, as arguments, and as options of the two configurations.
CASES: dict[str, dict[str, Any]] = {
    "gate and up bias": {"biases": "gate_up"},
    "down bias": {"biases": "down"},
    "down bias of a rank's columns": {"biases": "down", "bias_degree": 2, "bias_rank": 1},
    "gate limits": {"gate_upper": 0.5},
    "up limits": {"up_lower": -0.5},
    "offset of up": {"up_offset": 1.0},
    "up projection alone": {"skip_gate": True},
    "NO_SCALE": {"scaling": ExpertAffinityScaleMode.NO_SCALE},
    "PRE_SCALE": {"scaling": ExpertAffinityScaleMode.PRE_SCALE},
    "PRE_SCALE_DELAYED": {"scaling": ExpertAffinityScaleMode.PRE_SCALE_DELAYED},
    "affinity on I": {"multiply_on_i": True},
    "fp8 weights, row scales": {"weights": "fp8-row"},
    "fp8 weights, static scales": {"weights": "fp8-static"},
    "fp8 weights, scales of 128 x 128": {"weights": "fp8-block"},
    "fp8 weights, scales of 256 x 256": {"weights": "fp8-block256"},
    "int8 weights": {"weights": "int8"},
    "int8 activations, a scale a token": {"weights": "int8", "int8_inputs": True},
    "fp8 gate/up activations": {"weights": "fp8-row", "fp8_inputs": "gate_up"},
    "fp8 down activations": {"weights": "fp8-row", "fp8_inputs": "down"},
    "scales of gate/up activations": {"weights": "fp8-row", "hidden_scales": "tokens"},
    "scales of down activations": {"weights": "fp8-static", "hidden_scales": "experts"},
    "checkpoints returned": {"checkpoints": True},
    "pad ids of -1": {"skip_token": True},
    "weights kept between blocks": {"skip_weight": True},
    "one block a token": {"accumulating": False},
    "a row a choice": {"skip_token": True},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "buffer for gate/up activations": {"gate_up_activations_T": np.zeros((N, 2, I, B), ml_dtypes.bfloat16)},
    "buffer for down activations": {"down_activations": np.zeros((N, B, H), ml_dtypes.bfloat16)},
    "dtype of sums over cores": {"accumulation_dtype": "float32"},
    "conditions": {"conditions": np.array([1, 1, 0], np.int32)},
}
ON_I: dict[str, dict[str, Any]] = {"num_static_block": {"num_static_block": 1}, "ShardOnIConfig": {}}
ON_BLOCK: dict[str, dict[str, Any]] = {
    "HI_LO": {"block_sharding_strategy": BlockShardStrategy.HI_LO},
    "per_core_output": {"per_core_output": True},
    "non_overlapping_shards": {"non_overlapping_shards": True},
    "n_block_per_iter": {"n_block_per_iter": 2},
    "n_static_blocks": {"n_static_blocks": 1},
    "n_dynamic_blocks": {"n_dynamic_blocks": 1},
    "top_k": {"top_k": 2},
    "ep_degree": {"ep_degree": 2},
    "ShardOnBlockConfig": {},
}
# Of MX, as fields of a case, and as options of either configuration
MX_CASES: dict[str, dict[str, Any]] = {
    "MX weights": {},
    "MXFP8 rows": {"coded_rows": True},
    "packed scales": {"packed_scales": True},
    "scales of 128 x 128, MX": {"coarse_scales": True, "I": 256},
    "weight_dtype": {"weights": "mxfp8-e5m2", "carrier": True},
    "STATIC_MX": {"mx_scales": QuantizationType.STATIC_MX},
    "ROW_MX": {"mx_scales": QuantizationType.ROW_MX},
    "fp8 gate/up activations": {"mx_scales": QuantizationType.STATIC_MX, "fp8_inputs": "gate_up"},
    "fp8 down activations": {"mx_scales": QuantizationType.ROW_MX, "fp8_inputs": "down"},
}
STORED: dict[str, dict[str, Any]] = {
    "packed scales": {"use_packed_scales": True},
    "scales of 128 x 128, MX": {"use_block128_scales": True},
    "weight_dtype": {"weight_dtype": "float8_e5m2_x4"},
    "STATIC_MX": {"quantization_type": QuantizationType.STATIC_MX},
    "ROW_MX": {"quantization_type": QuantizationType.ROW_MX},
}
CELLS = [
    pytest.param(feature, variant, id=f"{feature.name}-{variant.name}")
    for feature in FEATURES
    for variant in (*ON_DENSE, *ON_MX)
]


ALWAYS_ASKED = ("conditions", "ShardOnBlockConfig", "ShardOnIConfig", "MX weights")


def example_of(variant: MoECTEImplementation) -> Case:
    """A case that asks for as little as possible."""
    return MX_CASE if variant in ON_MX else CASE


def ask(feature: Feature, variant: MoECTEImplementation) -> tuple[Case, dict[str, Any]]:
    """A call that asks `variant` for `feature`: a case, and arguments that replace its own."""
    base, choices = (MX_CASE, {**CASES, **MX_CASES}) if variant in ON_MX else (CASE, CASES)
    if variant in ON_MX and feature.name.startswith("int8 activations"):
        return replace(base, variant=variant.name), {feature.argument: "int8_per_token"}
    if variant in ON_MX and feature.argument.endswith("_hidden_scale"):
        return replace(base, variant=variant.name), {feature.argument: np.ones((61, 1), np.float32)}
    refused_weights = variant in ON_MX and feature.name.startswith(("fp8 weights", "int8 weights"))
    case = replace(base, variant=variant.name, **({} if refused_weights else choices.get(feature.name, {})))
    changes = dict(ARGUMENTS.get(feature.name, {}))
    if feature.name == "a row a choice":
        tensors = with_pairs(case, inputs_of(case))
        changes = {name: tensors[name] for name in ("expert_affinities_masked", "pairs")}
    if refused_weights or (variant in ON_DENSE and feature.name == "MX weights"):
        other = CASE if variant in ON_MX else replace(MX_CASE, variant="shard_on_i_mx")
        other = replace(other, **CASES.get(feature.name, {}))
        changes = {name: t for name, t in inputs_of(other).items() if name.startswith(("gate_up_proj", "down_proj"))}
    if variant in ON_DENSE and feature.name == "MXFP8 rows":
        changes["hidden_states"] = np.zeros((61, 256), ml_dtypes.float8_e4m3fn)
    if variant in ON_DENSE and feature.name in STORED:
        on_block = variant is MoECTEImplementation.shard_on_block
        config = {"shard_on_block": ShardOnBlockConfig(**STORED[feature.name])} if on_block else {}
        changes["spec"] = MoECTESpec(variant, **(config or {"shard_on_I": ShardOnIConfig(**STORED[feature.name])}))
    if feature.name in ON_I:
        changes["spec"] = MoECTESpec(variant, shard_on_I=ShardOnIConfig(**ON_I[feature.name]))
    if feature.name in ON_BLOCK:
        changes["spec"] = MoECTESpec(variant, shard_on_block=ShardOnBlockConfig(**ON_BLOCK[feature.name]))
    return case, changes


def inputs_of(case: Case) -> dict[str, Any]:
    """Inputs with a block an expert, which is what every variant takes."""
    inputs = build_inputs(case if case.is_mx else replace(case, variant="shard_on_i_dropping"))
    if case.variant in ("shard_on_i_hybrid", "shard_on_i_mx_hybrid"):
        inputs["conditions"] = np.array([1, 1, 0], np.int32)
    return inputs


def test_every_feature_has_an_example_that_asks_for_it() -> None:
    named = {*CASES, *ARGUMENTS, *ON_I, *ON_BLOCK, *MX_CASES}
    assert sorted(named) == sorted(feature.name for feature in FEATURES)
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    for feature in FEATURES:
        for variant in (*ON_DENSE, *ON_MX):
            case, changes = ask(feature, variant)
            base = replace(example_of(variant), variant=variant.name)
            plain = Request.from_arguments({**inputs_of(base), **base.options()})
            asked = Request.from_arguments({**inputs_of(case), **case.options(), **changes})
            assert feature.is_asked(asked)
            assert feature.name in ALWAYS_ASKED or not feature.is_asked(plain)


@pytest.mark.parametrize(("feature", "variant"), [c for c in CELLS if c.values[1] in c.values[0].refused])
def test_a_refused_feature_is_refused_before_the_launch(feature: Feature, variant: MoECTEImplementation) -> None:
    case, changes = ask(feature, variant)
    arguments = {**inputs_of(case), **case.options(), **changes}
    with pytest.raises(RequestError) as caught:
        make_plan(Request.from_arguments(arguments), 2, TARGETS[case.target])
    refusal = feature.refused[variant]
    assert caught.value.argument == feature.argument
    assert variant.name in str(caught.value)
    assert refusal.why in str(caught.value)
    assert refusal.fix in str(caught.value)


@pytest.mark.parametrize(("feature", "variant"), [c for c in CELLS if c.values[1] not in c.values[0].refused])
def test_a_promised_feature_works(feature: Feature, variant: MoECTEImplementation) -> None:
    case, changes = ask(feature, variant)
    per_core = feature.name == "per_core_output"
    outcome = run(replace(case, per_core_output=per_core), inputs_of(case), **changes)
    tensors = outcome.inputs if changes.get("pairs") is None else inputs_of(case)
    assert_matches(outcome, reference(outcome.case, tensors))


def test_the_example_of_every_variant_is_accepted_without_any_feature() -> None:
    for variant in (*ON_DENSE, *ON_MX):
        case = replace(example_of(variant), variant=variant.name)
        assert plan_of(case, inputs_of(case)).variant is VARIANTS[variant]
