"""Odd values anywhere in a call end in an error that names the argument, never in one of Python's own."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.odd_arguments import ODD, names_what_it_refuses

from nkimoe import (
    Pairs,
    QuantizationConfig,
    QuantizationType,
    RequestError,
    ShardOnBlockConfig,
    ShardOnIConfig,
    SkipMode,
    moe_cte,
)
from nkimoe.planning.option_types import check_option_types
from nkimoe.planning.request import Request

SMALL = Case(T=40, H=128, I=32, E=2, K=1)
CASES = {
    "dense": SMALL,
    "fp8 hybrid": replace(SMALL, variant="shard_on_i_hybrid", weights="fp8-row", fp8_inputs="both"),
    "MX": Case(variant="shard_on_block_mx", target="trn3", weights="mxfp8", T=60, H=512, I=96, E=2, K=1),
}
OPTIONS = {
    "skip_dma": SkipMode(), "quantization_config": QuantizationConfig(),
    "pairs": Pairs(np.zeros(1, np.int32), np.zeros(1, np.float32), 1),
}  # fmt: skip
FLAGS = ("checkpoint_activation", "expert_affinity_multiply_on_I", "use_packed_scales", "use_block128_scales")


def call_of(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", case.target)
    return {**build_inputs(case), **case.options()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_odd_arguments_are_refused_by_name(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    call = call_of(case, monkeypatch)
    moe_cte[2](**call)
    for name in inspect.signature(moe_cte.function).parameters:
        for value in ODD:
            assert names_what_it_refuses({**call, name: value}, name), f"{name}={value!r}"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_odd_fields_of_options_are_refused_by_name(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    call = call_of(case, monkeypatch)
    for option, empty in OPTIONS.items():
        for field in fields(empty):
            for value in ODD:
                changed = replace(call.get(option) or empty, **{field.name: value})
                assert names_what_it_refuses({**call, option: changed}, f"{option}.{field.name}"), repr(value)
    spec = call["spec"]
    part = "shard_on_I" if spec.shard_on_block is None else "shard_on_block"
    for field in fields(getattr(spec, part)):
        for value in ODD:
            changed = replace(spec, **{part: replace(getattr(spec, part), **{field.name: value})})
            assert names_what_it_refuses({**call, "spec": changed}, f"spec.{part}.{field.name}"), repr(value)


@pytest.mark.parametrize("value", ["no", 0, 1, None])
@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize(
    ("part", "kind", "variant"),
    [("shard_on_block", ShardOnBlockConfig, "shard_on_block"), ("shard_on_I", ShardOnIConfig, "shard_on_i")],
)
def test_only_true_and_false_are_flags(part: str, kind: type, variant: str, name: str, value: object) -> None:
    case = replace(SMALL, variant=variant)
    call = {"compute_dtype": "bfloat16", **build_inputs(case), **case.options()}
    spec = replace(call["spec"], **{part: kind(**{name: value})})
    check_option_types(Request.from_arguments(call))
    with pytest.raises(RequestError) as caught:
        check_option_types(Request.from_arguments({**call, "spec": spec}))
    assert caught.value.argument == f"spec.{part}.{name}"


@pytest.mark.parametrize("value", ["MX", 3, None])
def test_a_name_is_no_quantization_type(value: object) -> None:
    call = {"compute_dtype": "bfloat16", **build_inputs(SMALL), **SMALL.options()}
    for kind in QuantizationType:
        good = replace(call["spec"], shard_on_block=ShardOnBlockConfig(quantization_type=kind))
        check_option_types(Request.from_arguments({**call, "spec": good}))
    bad = replace(call["spec"], shard_on_block=ShardOnBlockConfig(quantization_type=value))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="quantization_type"):
        check_option_types(Request.from_arguments({**call, "spec": bad}))
