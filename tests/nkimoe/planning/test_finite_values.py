"""NaN and infinity are found in every form that tensors have: scales in an option, codes, packed elements, rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs

from nkimoe import (
    InputError,
    MoECTEImplementation,
    MoECTESpec,
    QuantizationConfig,
    ShardOnBlockConfig,
    check_inputs,
)
from nkimoe.planning.finite_values import check_row_scales
from nkimoe.weights.mx_rows import quantize_rows, scale_places

DENSE = Case(T=150, H=128, I=32, E=3, K=2)
MX = Case(variant="shard_on_block_mx", target="trn3", weights="mxfp8", T=60, H=512, I=96, E=2, K=1)
WEIGHTS = ("gate_up_proj_weight", "down_proj_weight")
SCALES = ("gate_up_proj_scale", "down_proj_scale")


def refused(case: Case, inputs: dict[str, Any], **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        check_inputs(**{**inputs, **case.options(), **options})
    return caught.value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weights", ["fp8-row", "fp8-static", "fp8-block", "int8"])
@pytest.mark.parametrize("name", SCALES)
def test_a_scale_in_quantization_config_is_checked_like_a_direct_one(name: str, weights: str, value: float) -> None:
    case = replace(DENSE, weights=weights)
    inputs = build_inputs(case)
    direct = {each: inputs.pop(each) for each in SCALES}
    check_inputs(**inputs, **{**case.options(), "quantization_config": QuantizationConfig(**direct)})
    last = tuple(n - 1 for n in direct[name].shape)
    direct[name][last] = value
    error = refused(case, inputs, quantization_config=QuantizationConfig(**direct))
    assert error.argument == f"quantization_config.{name}"
    assert f"at {last}" in str(error)


@pytest.mark.parametrize("in_config", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, ml_dtypes.float8_e8m0fnu])
@pytest.mark.parametrize("name", SCALES)
def test_a_block_scale_of_255_is_found(name: str, dtype: Any, in_config: bool) -> None:
    inputs = build_inputs(MX)
    codes = {each: inputs.pop(each) for each in SCALES}
    codes[name].flat[-1] = 255
    given = {each: scale.view(dtype) for each, scale in codes.items()}
    error = refused(MX, inputs, **({"quantization_config": QuantizationConfig(**given)} if in_config else given))
    assert error.argument == (f"quantization_config.{name}" if in_config else name)
    assert "255" in str(error)


@pytest.mark.parametrize("carrier", [False, True])
@pytest.mark.parametrize(
    ("weights", "codes"),
    [
        ("mxfp8", {126: True, 127: False, 254: True, 255: False}),
        ("mxfp8-e5m2", {123: True, 124: False, 125: False, 251: True, 252: False, 255: False}),
        ("mxfp4", {0xFF: True}),
    ],
)
@pytest.mark.parametrize("name", WEIGHTS)
def test_codes_of_packed_weights_that_are_no_numbers_are_found(
    name: str, weights: str, codes: dict[int, bool], carrier: bool
) -> None:
    case = replace(MX, weights=weights, carrier=carrier)
    for code, is_number in codes.items():
        inputs = build_inputs(case)
        check_inputs(**inputs, **case.options())
        weight = inputs[name].copy()
        weight.view(np.uint8).flat[-1] = code
        if is_number:
            check_inputs(**{**inputs, name: weight}, **case.options())
        else:
            error = refused(case, {**inputs, name: weight})
            assert error.argument == name
            assert str(tuple(n - 1 for n in weight.shape))[:-1] in str(error)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_repeat_one_value_are_checked_by_that_value(name: str) -> None:
    inputs = build_inputs(DENSE)
    zero, infinite = (np.array(value, inputs[name].dtype) for value in (0.0, np.inf))
    inputs[name] = np.broadcast_to(zero, inputs[name].shape)
    check_inputs(**inputs, **DENSE.options())
    inputs[name] = np.broadcast_to(infinite, inputs[name].shape)
    assert refused(DENSE, inputs).argument == name


def test_a_row_that_repeats_is_checked_to_its_end() -> None:
    inputs = build_inputs(DENSE)
    weight = inputs[WEIGHTS[0]]
    row = np.zeros(weight.shape[1:], weight.dtype)
    row.reshape(-1)[-1] = np.nan
    inputs[WEIGHTS[0]] = np.broadcast_to(row, weight.shape)
    assert refused(DENSE, inputs).argument == WEIGHTS[0]


def test_scales_behind_rows_are_checked_where_they_mean_something() -> None:
    H = 512 * 5
    rows = quantize_rows(np.ones((3, H), np.float32))
    unused = sorted(set(range(rows.shape[1] - H)) - set(scale_places(H).tolist()))
    assert unused
    rows.view(np.uint8)[:, H + np.array(unused)] = 255
    check_row_scales(rows, H)
    for place in scale_places(H)[[0, -1]]:
        damaged = rows.copy()
        damaged.view(np.uint8)[2, H + place] = 255
        with pytest.raises(InputError, match=r"255 at \(2,") as caught:
            check_row_scales(damaged, H)
        assert caught.value.argument == "hidden_states"


def test_a_type_in_the_options_says_what_integers_hold() -> None:
    """124 is infinity in e5m2, and 256 in e4m3fn."""
    case = replace(MX, weights="mxfp8", carrier=True)
    inputs = build_inputs(case)
    weight = inputs[WEIGHTS[0]].copy()
    weight.view(np.uint8).flat[-1] = 124
    inputs[WEIGHTS[0]] = weight
    check_inputs(**inputs, **case.options())
    config = ShardOnBlockConfig(weight_dtype="float8_e5m2_x4")
    spec = MoECTESpec(MoECTEImplementation.shard_on_block_mx, config)
    assert refused(case, inputs, spec=spec).argument == WEIGHTS[0]
