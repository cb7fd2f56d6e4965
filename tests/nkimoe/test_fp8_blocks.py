"""FP8 weights with a scale for 128 x 128 or 256 x 256 of them agree with the reference in every dense variant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_same_bits, check, run

from nkimoe import ExpertAffinityScaleMode, RequestError
from nkimoe.weights.block_scales import spread_blocks

SMALL = Case(T=60, H=256, I=208)
VARIANTS = ("shard_on_block", "shard_on_i", "shard_on_i_hybrid", "shard_on_i_dropping")
BLOCKS = ("fp8-block", "fp8-block256")
ALL = [replace(SMALL, variant=variant, weights=weights) for variant in VARIANTS for weights in BLOCKS]
BOTH = ALL[:4]


@cases(
    *ALL,
    *(replace(case, cores=1, T=200, skip_token=False) for case in BOTH),
    *(replace(case, target="trn3", fp8="float8_e4m3fn") for case in BOTH),
    *(replace(case, fp8="float8_e5m2", dtype="float16") for case in BOTH),
    *(replace(case, shared_scales=True) for case in BOTH),
    *(replace(case, skip_gate=True, biases="none") for case in BOTH),
    *(replace(case, gate_upper=0.5, up_lower=-0.3, up_offset=1.0) for case in BOTH),
    *(replace(case, scaling=mode) for case in BOTH[1:3] for mode in ExpertAffinityScaleMode),
    replace(BOTH[2], multiply_on_i=True, I=640),
)
def test_options_agree_with_the_reference(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, H=128, I=16) for case in BOTH),
    *(replace(case, H=640, I=400) for case in BOTH),  # a core's half of I starts inside a block
    *(replace(case, H=1024, I=96, T=300, B=256) for case in BOTH),  # rows of H in groups of eight
    *(replace(case, H=2048, I=704, E=2) for case in BOTH),
    *(replace(case, H=1152, I=2064, T=130, B=256, E=2) for case in BOTH),
)
def test_sizes_agree_with_the_reference(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, E=3, K=1, T=300, I=96, skip_weight=True) for case in BOTH[:2]),
    replace(BOTH[0], static_blocks=1, conditions=0, T=500, E=5),
    replace(BOTH[1], static_blocks=2, conditions=0, T=500, E=3, routing="empty_experts"),
    replace(ALL[4], static_blocks=1, T=500, E=5),
    replace(BOTH[3], B=640, T=700, shuffled=True),
)
def test_scales_follow_their_experts(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("intermediate", [112, 512])  # tiles of I are then those of plain weights
@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("variant", VARIANTS[:2])
def test_results_are_those_of_weights_dequantised_on_the_host(variant: str, size: int, intermediate: int) -> None:
    """To the bit: a weight is its code times its scale, rounded once."""
    weights = {128: "fp8-block", 256: "fp8-block256"}[size]
    case = Case(T=60, H=384, I=intermediate, variant=variant, weights=weights)
    inputs = build_inputs(case)
    plain = {name: tensor for name, tensor in inputs.items() if not name.endswith("_scale")}
    for which in ("gate_up", "down"):
        weight, scale = inputs[f"{which}_proj_weight"].astype(np.float32), inputs[f"{which}_proj_scale"]
        spread = np.stack([spread_blocks(each, weight.shape[1:], size) for each in scale])
        plain[f"{which}_proj_weight"] = (weight * spread).astype(ml_dtypes.bfloat16)
    assert_same_bits(run(case, inputs).output, run(replace(case, weights="plain"), plain).output)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("gate_up_proj_scale", {"gate_up_proj_scale": np.ones((4, 2, 2, 3), np.float32)}),
    ("gate_up_proj_scale", {"gate_up_proj_scale": np.ones((4, 1, 2, 1, 1), np.float32)}),
    ("down_proj_scale", {"down_proj_scale": np.ones((4, 2, 3), np.float32)}),
    ("down_proj_scale", {"down_proj_scale": np.ones((4, 1, 1, 128), np.float16)}),
    ("gate_up_proj_scale", {"gate_up_proj_weight": np.ones((4, 256, 2, 208), ml_dtypes.bfloat16)}),
    ("down_proj_scale", {"down_proj_weight": np.ones((4, 208, 256), np.int8)}),
    ("gate_up_in_scale", {"gate_up_in_scale": np.ones((4, 1), np.float32)}),
    ("down_in_scale", {"down_in_scale": np.ones((4, 1), np.float32)}),
    ("compute_dtype", {"compute_dtype": "float32"}),
]


@pytest.mark.parametrize(("argument", "changes"), BAD)
def test_what_blocks_do_not_go_with_is_refused(argument: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        run(ALL[0], **{"inputs": {**build_inputs(ALL[0]), **changes}} if "compute_dtype" not in changes else changes)
    assert caught.value.argument == argument
