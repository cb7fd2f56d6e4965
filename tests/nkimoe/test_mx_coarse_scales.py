"""MX weights with a scale for 128 x 128 of them: what scales that were spread on the host give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_same_bits, check, run

from nkimoe import MoECTEImplementation, MoECTESpec, QuantizationType, RequestError, ShardOnBlockConfig, ShardOnIConfig
from nkimoe.weights import dense_arguments
from nkimoe.weights.mx_layout import spread_scales

SMALL = Case(T=60, H=512, I=256, target="trn3", weights="mxfp8", coarse_scales=True)
VARIANTS = ("shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid")
ALL = [replace(SMALL, variant=variant) for variant in VARIANTS]
BOTH = ALL[:2]


@cases(
    *ALL,
    *(replace(case, weights="mxfp4", carrier=True) for case in ALL),
    *(replace(case, H=2560, I=1184, E=2, T=130, B=256) for case in ALL),
    *(replace(case, H=1024, I=640, skip_gate=True, cores=1, biases="none") for case in BOTH),
    *(replace(case, I=2048, H=1024, E=3, K=1, T=300, skip_weight=True) for case in BOTH),
    replace(ALL[0], I=96),
)
def test_results_are_those_of_scales_spread_on_the_host(case: Case) -> None:
    outcome = check(case)
    spread = dict(outcome.inputs)
    width = spread["down_proj_weight"].shape[1]
    spread["gate_up_proj_scale"] = spread_scales(spread["gate_up_proj_scale"], 16, case.I)
    spread["down_proj_scale"] = spread_scales(spread["down_proj_scale"], width // 8, case.H)
    assert_same_bits(outcome.output, run(replace(case, coarse_scales=False), spread).output)


def test_dense_weights_have_the_same_values() -> None:
    case = ALL[1]
    inputs = build_inputs(case)
    arguments = {**inputs, **case.options()}
    spread = {**arguments, "spec": replace(case, coarse_scales=False).spec()}
    spread["gate_up_proj_scale"] = spread_scales(inputs["gate_up_proj_scale"], 16, case.I)
    spread["down_proj_scale"] = spread_scales(inputs["down_proj_scale"], 8, case.H)
    plain, same = dense_arguments(arguments), dense_arguments(spread)
    assert plain["spec"] == same["spec"]
    np.testing.assert_array_equal(plain["gate_up_proj_weight"], same["gate_up_proj_weight"])
    np.testing.assert_array_equal(plain["down_proj_weight"], same["down_proj_weight"])


def refused(case: Case, **changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        run(case, **changes)
    return caught.value.argument


def test_what_it_does_not_go_with_is_refused() -> None:
    on_block = {"use_block128_scales": True, "use_packed_scales": True}
    spec = MoECTESpec(MoECTEImplementation.shard_on_block_mx, ShardOnBlockConfig(**on_block))
    assert refused(ALL[0], spec=spec) == "spec.use_block128_scales"
    on_i = ShardOnIConfig(use_block128_scales=True, quantization_type=QuantizationType.STATIC_MX)
    spec = MoECTESpec(MoECTEImplementation.shard_on_i_mx, shard_on_I=on_i)
    assert refused(ALL[1], spec=spec) == "spec.use_block128_scales"
    spec = MoECTESpec(MoECTEImplementation.shard_on_i_mx, shard_on_I=ShardOnIConfig(use_block128_scales=1))  # type: ignore[arg-type]
    assert refused(ALL[1], spec=spec) == "spec.shard_on_I.use_block128_scales"
    assert refused(replace(ALL[1], I=96)) == "spec.use_block128_scales"
    inputs = build_inputs(ALL[0])
    inputs["down_proj_scale"] = inputs["down_proj_scale"][:, :, :, :3]
    assert refused(ALL[0], inputs=inputs) == "down_proj_scale"
