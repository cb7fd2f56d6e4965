"""Requests that the MX implementations refuse: each names its argument, before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import run

from nkimoe import (
    InputError,
    MoECTEImplementation,
    MoECTESpec,
    QuantizationType,
    RequestError,
    ShardOnBlockConfig,
    ShardOnIConfig,
)
from nkimoe.planning.plan import make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS

CASE = Case(variant="shard_on_block_mx", target="trn3", weights="mxfp4", T=60, H=512, I=96, E=2, K=1, conditions=None)
BLOCK, ON_I = MoECTEImplementation.shard_on_block_mx, MoECTEImplementation.shard_on_i_mx


def spec(**options: Any) -> MoECTESpec:
    return MoECTESpec(BLOCK, shard_on_block=ShardOnBlockConfig(**options))


def codes(*shape: int) -> Any:
    return np.full(shape, 127, np.uint8)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("gate_up_proj_weight", {"gate_up_proj_weight": np.zeros((2, 128, 2, 1, 96), np.float32)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": np.zeros((2, 128, 2, 1, 100), np.uint16)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": np.zeros((2, 128, 2, 2, 96), np.uint16)}),
    ("down_proj_weight", {"down_proj_weight": np.zeros((2, 32, 1, 512), np.uint16)}),
    ("down_proj_weight", {"down_proj_weight": np.zeros((2, 96, 512), ml_dtypes.bfloat16)}),
    ("gate_up_proj_scale", {"gate_up_proj_scale": None}),
    ("gate_up_proj_scale", {"gate_up_proj_scale": codes(2, 16, 2, 96)}),
    ("gate_up_proj_scale", {"gate_up_proj_scale": codes(2, 16, 2, 1, 96).astype(np.int8)}),
    ("down_proj_scale", {"down_proj_scale": codes(2, 4, 1, 512)}),
    ("down_proj_scale", {"spec": spec(use_packed_scales=True), "gate_up_proj_scale": codes(2, 128, 1, 2, 96)}),
    ("gate_and_up_proj_bias", {"gate_and_up_proj_bias": np.zeros((2, 2, 96), ml_dtypes.bfloat16)}),
    ("gate_up_in_scale", {"gate_up_in_scale": np.ones((2, 1), np.float32)}),
    ("down_in_scale", {"down_in_scale": np.ones((2, 1), np.float32)}),
    ("gate_up_proj_scale", {"spec": spec(quantization_type=QuantizationType.STATIC_MX)}),
    (
        "gate_up_proj_scale",
        {
            "spec": spec(quantization_type=QuantizationType.ROW_MX),
            "gate_up_proj_scale": np.ones((2, 2, 1), np.float32),
        },
    ),
    ("spec.quantization_type", {"spec": spec(quantization_type=QuantizationType.ROW)}),
    ("spec.use_packed_scales", {"spec": spec(quantization_type=QuantizationType.STATIC_MX, use_packed_scales=True)}),
    ("spec.weight_dtype", {"spec": spec(weight_dtype="uint16")}),
    (
        "spec.weight_dtype",
        {
            "spec": spec(weight_dtype="float8_e5m2_x4"),
            "gate_up_proj_weight": np.zeros((2, 128, 2, 1, 96), np.uint16),
        },
    ),
    ("spec.shard_on_block.n_static_blocks", {"spec": spec(n_static_blocks=3)}),
    ("spec.shard_on_block.n_dynamic_blocks", {"spec": spec(n_dynamic_blocks=-2)}),
    ("spec.shard_on_block.top_k", {"spec": spec(top_k=0)}),
    ("spec.shard_on_block.ep_degree", {"spec": spec(ep_degree=0)}),
    ("compute_dtype", {"compute_dtype": "float32"}),
    ("conditions", {"conditions": np.ones(1, np.int32)}),
    ("hidden_states", {"hidden_states": np.zeros((60, 640), ml_dtypes.bfloat16)}),
]


@pytest.mark.parametrize(("argument", "changes"), BAD)
def test_a_bad_request_names_its_argument_and_computes_nothing(argument: str, changes: dict[str, Any]) -> None:
    arguments = {**build_inputs(CASE), **CASE.options(), **changes}
    with pytest.raises(RequestError) as caught:
        make_plan(Request.from_arguments(arguments), 2, TARGETS["trn3"])
    assert caught.value.argument == argument


def test_trn2_has_no_mx() -> None:
    with pytest.raises(RequestError, match="shard_on_block_mx runs on trn3") as caught:
        run(replace(CASE, target="trn2"))
    assert "dense_arguments" in caught.value.fix


def test_cores_that_share_blocks_need_a_block_of_columns_each() -> None:
    case = replace(CASE, variant="shard_on_i_mx", I=32)
    with pytest.raises(RequestError, match="I has 32 columns for each core"):
        run(case)
    run(replace(case, cores=1))


def test_a_scale_of_255_is_nan() -> None:
    inputs = build_inputs(CASE)
    inputs["down_proj_scale"][1, 2, 0, 5] = 255
    with pytest.raises(InputError, match=r"255 at \(1, 2, 0, 5\)"):
        run(CASE, inputs)


def test_hybrids_need_conditions_and_the_static_one_takes_none() -> None:
    inputs = build_inputs(replace(CASE, variant="shard_on_i_mx"))
    for implementation, argument in ((MoECTEImplementation.shard_on_i_mx_hybrid, "conditions"), (ON_I, "ok")):
        arguments = {**inputs, **CASE.options(), "spec": MoECTESpec(implementation, shard_on_I=ShardOnIConfig())}
        if argument == "ok":
            make_plan(Request.from_arguments(arguments), 2, TARGETS["trn3"])
        else:
            with pytest.raises(RequestError, match=argument):
                make_plan(Request.from_arguments(arguments), 2, TARGETS["trn3"])
