"""`moe_cte` can be called in every way a kernel can, with nkilib's arguments in nkilib's order."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import replace
from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import assert_same_bits, run

import nkisim
from nkimoe import InputError, moe_cte
from nkimoe.planning.request import Request

CASE = Case(T=150, H=128, I=48)
NKILIB_ORDER = (
    "hidden_states", "expert_affinities_masked", "gate_up_proj_weight", "down_proj_weight", "token_position_to_id",
    "block_to_expert", "block_size", "spec", "conditions", "gate_and_up_proj_bias", "down_proj_bias",
    "quantization_config", "gate_up_activations_T", "down_activations", "activation_function", "skip_dma",
    "compute_dtype", "is_tensor_update_accumulating", "expert_affinities_scaling_mode", "gate_clamp_upper_limit",
    "gate_clamp_lower_limit", "up_clamp_upper_limit", "up_clamp_lower_limit",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _trn2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    monkeypatch.delenv("NEURON_LOGICAL_NC_CONFIG", raising=False)


def arguments(case: Case = CASE) -> dict[str, Any]:
    return {**build_inputs(case), **case.options()}


@pytest.mark.parametrize("cores", [1, 2])
def test_a_plain_call_simulates(cores: int) -> None:
    expected = run(replace(CASE, cores=cores)).output
    assert_same_bits(moe_cte[cores](**arguments()), expected)
    assert_same_bits(nki.simulate(moe_cte[cores])(**arguments()), expected)


def test_without_a_grid_one_core_runs() -> None:
    assert_same_bits(moe_cte(**arguments()), run(replace(CASE, cores=1)).output)


def test_the_environment_may_choose_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", "2")
    assert_same_bits(moe_cte(**arguments()), run(CASE).output)


def test_positional_arguments_come_in_the_order_of_nkilib() -> None:
    parameters = inspect.signature(moe_cte.function).parameters
    assert tuple(parameters)[: len(NKILIB_ORDER)] == NKILIB_ORDER
    given = arguments()
    values = [given.get(name, parameters[name].default) for name in NKILIB_ORDER]
    assert_same_bits(moe_cte[2](*values), run(CASE).output)


NEEDS = ("added", "smooth")  # of operations


def test_every_parameter_is_a_field_of_the_request_with_the_same_default() -> None:
    parameters = inspect.signature(moe_cte.function).parameters
    fields = {name: field for name, field in Request.__dataclass_fields__.items() if name not in NEEDS}
    assert set(parameters) == set(fields)
    for name, parameter in parameters.items():
        if name != "compute_dtype" and parameter.default is not inspect.Parameter.empty:
            assert parameter.default == fields[name].default, name


def test_no_skip_mode_is_the_pad_row_convention() -> None:
    case = replace(CASE, skip_token=False)
    given = arguments(case)
    without = {name: value for name, value in given.items() if name != "skip_dma"}
    expected = run(case).output
    assert_same_bits(moe_cte[2](**{**given, "skip_dma": None}), expected)
    assert_same_bits(moe_cte[2](**without), expected)


def test_the_default_computes_in_bfloat16() -> None:
    given = {name: value for name, value in arguments().items() if name != "compute_dtype"}
    assert_same_bits(moe_cte[2](**given), run(CASE).output)


@pytest.mark.parametrize("compute_dtype", [nl.bfloat16, "bfloat16", np.dtype("float32"), nl.float32], ids=str)
def test_data_types_may_be_spelled_in_several_ways(compute_dtype: Any) -> None:
    name = str(compute_dtype)
    assert_same_bits(
        moe_cte[2](**{**arguments(), "compute_dtype": compute_dtype}), run(replace(CASE, compute_dtype=name)).output
    )


@nki.jit
def doubled(hidden_states: Any, **others: Any) -> Any:
    """A kernel that calls moe_cte and works on its result."""
    routed = moe_cte(hidden_states, **others)
    rows, H = routed.shape
    result = nl.ndarray((rows, H), dtype=routed.dtype, buffer=nl.shared_hbm)
    for start in range(0, rows, 128):
        size = min(128, rows - start)
        tile = nl.ndarray((size, H), dtype=routed.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=routed[start : start + size, :])
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=2.0)
        nisa.dma_copy(dst=result[start : start + size, :], src=tile)
    return result


def test_another_kernel_may_call_it() -> None:
    done = nkisim.Simulator("trn2", lnc=1).run(doubled, **arguments())
    once = run(replace(CASE, cores=1)).output
    assert_same_bits(done.outputs, (once.astype(np.float32) * 2).astype(once.dtype))


def test_values_are_checked_before_a_launch_and_not_inside_another_kernel() -> None:
    bad = arguments()
    bad["block_to_expert"] = bad["block_to_expert"] + 100
    with pytest.raises(InputError, match="block_to_expert"):
        moe_cte[2](**bad)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_in_gives_torch_out() -> None:
    import torch

    given = arguments()
    tensors = {
        name: torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
        if str(value.dtype) == "bfloat16"
        else torch.from_numpy(value)
        for name, value in given.items()
        if isinstance(value, np.ndarray)
    }
    output = moe_cte[2](**{**given, **tensors})
    assert output.dtype == torch.bfloat16
    expected = run(CASE).output
    assert_same_bits(output.view(torch.int16).numpy().view(expected.dtype), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"block_size": np.int64(128)},
        {"gate_clamp_upper_limit": np.float32(0.5), "up_clamp_lower_limit": np.int32(-1), "up_offset": np.float64(1)},
        {"compute_dtype": np.float32},
        {"compute_dtype": np.dtype("float32")},
        {"compute_dtype": nl.float32},
    ],
    ids=str,
)
def test_numpy_numbers_and_types_are_as_good_as_plain_ones(changes: dict[str, Any]) -> None:
    plain = {
        name: str(np.dtype("float32")) if name == "compute_dtype" else getattr(value, "item", lambda v=value: v)()
        for name, value in changes.items()
    }
    given, expected = (moe_cte[2](**{**arguments(), **options}) for options in (changes, plain))
    assert_same_bits(given, expected)


def test_a_grid_is_a_number_of_cores() -> None:
    with pytest.raises(nkisim.SimulationError, match=r"NKI303.*\[2\.0\]"):
        moe_cte[2.0]
