"""Every rule on a request has a good and a bad example; an error names the argument, and nothing has run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import run

import nkisim
from nkimoe import (
    MoECTEImplementation,
    MoECTESpec,
    QuantizationConfig,
    QuantizationType,
    RequestError,
    ShardOnBlockConfig,
    ShardOnIConfig,
    moe_cte,
)
from nkimoe.planning.request import Request
from nkimoe.planning.validate import choose_variant, validate
from nkimoe.planning.variants import VARIANTS
from nkisim.observe import Recorder

CASE = Case(T=40, H=128, I=32, E=2, K=1)
INPUTS = build_inputs(CASE)
BF16 = ml_dtypes.bfloat16
ON_BLOCK = MoECTEImplementation.shard_on_block


def zeros(*shape: int, dtype: Any = BF16) -> Any:
    return np.zeros(shape, dtype)


def spec(**options: Any) -> MoECTESpec:
    return MoECTESpec(ON_BLOCK, shard_on_block=ShardOnBlockConfig(**options))


def slots(n: int) -> Any:
    return np.full(n, -1, np.int32)


def refused(changes: dict[str, Any]) -> RequestError:
    """The error of a call, after making sure that nothing ran."""
    recorder = Recorder()
    with pytest.raises(RequestError) as caught:
        run(CASE, INPUTS, observers=[recorder], **changes)
    assert recorder.events == []
    return caught.value


BAD: list[tuple[str, dict[str, Any]]] = [
    # types of options
    ("spec", {"spec": ON_BLOCK}),
    ("spec", {"spec": None}),
    ("spec.shard_on_block", {"spec": MoECTESpec(ON_BLOCK, shard_on_block=ShardOnIConfig())}),  # type: ignore[arg-type]
    ("spec.shard_on_I", {"spec": MoECTESpec(ON_BLOCK, shard_on_I=ShardOnBlockConfig())}),  # type: ignore[arg-type]
    ("spec.shard_on_block.block_sharding_strategy", {"spec": spec(block_sharding_strategy="PING_PONG")}),
    ("spec.shard_on_block.block_sharding_strategy", {"spec": spec(block_sharding_strategy=1)}),
    ("spec.shard_on_block.per_core_output", {"spec": spec(per_core_output="no")}),
    ("spec.shard_on_block.non_overlapping_shards", {"spec": spec(non_overlapping_shards=1)}),
    ("activation_function", {"activation_function": "silu"}),
    ("expert_affinities_scaling_mode", {"expert_affinities_scaling_mode": 1}),
    ("skip_dma", {"skip_dma": True}),
    ("skip_dma", {"skip_dma": False}),
    ("is_tensor_update_accumulating", {"is_tensor_update_accumulating": 1}),
    ("skip_gate_proj", {"skip_gate_proj": None}),
    ("quantization_config", {"quantization_config": 3}),
    # implementations
    *[("spec", {"spec": MoECTESpec(i)}) for i in MoECTEImplementation if not VARIANTS[i].is_available],
    # dimensions and block size
    ("hidden_states", {"hidden_states": zeros(128)}),
    ("hidden_states", {"hidden_states": zeros(1, 40, 128)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(2, 128, 64)}),
    ("down_proj_weight", {"down_proj_weight": zeros(64, 128)}),
    *[("block_size", {"block_size": b}) for b in (0, -128, None, "128", 128.0, True)],
    # data types
    ("hidden_states", {"hidden_states": zeros(40, 128, dtype=np.float32)}),
    ("expert_affinities_masked", {"expert_affinities_masked": zeros(80, 1, dtype=np.float32)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(2, 128, 2, 32, dtype=np.float16)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(2, 128, 2, 32, dtype=np.int16)}),
    ("down_proj_weight", {"down_proj_weight": zeros(2, 32, 128, dtype=ml_dtypes.float8_e4m3fn)}),
    ("down_proj_scale", {"down_proj_weight": zeros(2, 32, 128, dtype=ml_dtypes.float8_e4m3)}),
    ("gate_up_proj_scale", {"gate_up_proj_weight": zeros(2, 128, 2, 32, dtype=ml_dtypes.float8_e5m2)}),
    ("compute_dtype", {"down_proj_weight": zeros(2, 32, 128, dtype=ml_dtypes.float8_e4m3), "compute_dtype": "float32"}),
    ("gate_and_up_proj_bias", {"gate_and_up_proj_bias": zeros(2, 2, 32, dtype=np.float32)}),
    ("down_proj_bias", {"down_proj_bias": zeros(2, 128, dtype=np.float32)}),
    ("token_position_to_id", {"token_position_to_id": INPUTS["token_position_to_id"].astype(np.int16)}),
    ("block_to_expert", {"block_to_expert": INPUTS["block_to_expert"].astype(np.uint32)}),
    ("token_position_to_id", {"token_position_to_id": INPUTS["token_position_to_id"].astype(np.float32)}),
    ("compute_dtype", {"compute_dtype": "float8_e4m3"}),
    ("compute_dtype", {"compute_dtype": None}),
    # sizes
    ("hidden_states", {"hidden_states": zeros(40, 120)}),
    ("hidden_states", {"hidden_states": zeros(40, 8320)}),
    ("hidden_states", {"hidden_states": zeros(0, 128)}),
    ("down_proj_weight", {"down_proj_weight": zeros(2, 1, 128), "gate_up_proj_weight": zeros(2, 128, 2, 1)}),
    ("down_proj_weight", {"down_proj_weight": zeros(2, 0, 128), "gate_up_proj_weight": zeros(2, 128, 2, 0)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(0, 128, 2, 32), "down_proj_weight": zeros(0, 32, 128)}),
    ("token_position_to_id", {"token_position_to_id": slots(0), "block_to_expert": zeros(0, dtype=np.int32)}),
    # shapes that disagree
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(2, 256, 2, 32)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(2, 128, 3, 32)}),
    ("gate_up_proj_weight", {"gate_up_proj_weight": zeros(2, 128, 2, 48)}),
    ("down_proj_weight", {"down_proj_weight": zeros(3, 32, 128)}),
    ("down_proj_weight", {"down_proj_weight": zeros(2, 32, 256)}),
    ("expert_affinities_masked", {"expert_affinities_masked": zeros(40, 2)}),
    ("expert_affinities_masked", {"expert_affinities_masked": zeros(82, 1)}),
    ("token_position_to_id", {"token_position_to_id": slots(200)}),
    ("token_position_to_id", {"token_position_to_id": slots(256).reshape(2, 128)}),
    ("block_to_expert", {"block_to_expert": zeros(7, dtype=np.int32)}),
    ("gate_and_up_proj_bias", {"gate_and_up_proj_bias": zeros(2, 64)}),
    ("down_proj_bias", {"down_proj_bias": zeros(2, 2, 64)}),
    # clamps
    *[(name, {name: "1"}) for name in ("gate_clamp_upper_limit", "up_clamp_lower_limit")],
    *[(name, {name: float("nan")}) for name in ("gate_clamp_lower_limit", "up_clamp_upper_limit")],
    ("gate_clamp_upper_limit", {"gate_clamp_upper_limit": True}),
    ("gate_clamp_lower_limit", {"gate_clamp_lower_limit": 1.0, "gate_clamp_upper_limit": 0.5}),
    ("up_clamp_lower_limit", {"up_clamp_lower_limit": 0.0, "up_clamp_upper_limit": -0.5}),
    # arguments and options of other implementations
    ("conditions", {"conditions": np.ones(30, np.int32)}),
    ("gate_up_activations_T", {"gate_up_activations_T": zeros(2, 2, 32, 127)}),
    ("gate_up_activations_T", {"gate_up_activations_T": zeros(2, 2, 32, 128, dtype=np.int32)}),
    ("gate_up_activations_T", {"gate_up_activations_T": 3}),
    ("down_activations", {"down_activations": zeros(2, 128, 256)}),
    ("down_activations", {"down_activations": zeros(2, 128, 128), "spec": spec(expert_affinity_multiply_on_I=True)}),
    *[(name, {name: zeros(2, 1, 65, dtype=np.float32)}) for name in ("gate_up_proj_scale", "down_proj_scale")],
    *[(name, {name: zeros(2, 1)}) for name in ("gate_up_proj_scale", "down_proj_scale")],
    *[(name, {name: zeros(2, 1, dtype=np.float32)}) for name in ("gate_up_in_scale", "down_in_scale")],
    ("accumulation_dtype", {"accumulation_dtype": "float32"}),
    ("quantization_config.gate_up_proj_scale", {"quantization_config": QuantizationConfig(gate_up_proj_scale=1)}),
    ("quantization_config.down_proj_scale", {"quantization_config": QuantizationConfig(down_proj_scale=1)}),
    ("spec.shard_on_I", {"spec": MoECTESpec(ON_BLOCK, shard_on_I=ShardOnIConfig())}),
    *[
        (f"spec.shard_on_block.{name}", {"spec": spec(**{name: value})})
        for name, value in {
            "n_block_per_iter": 2, "n_static_blocks": -2, "n_dynamic_blocks": True, "top_k": 0, "ep_degree": 0.5,
        }.items()
    ],
    *[
        (f"spec.{name}", {"spec": spec(**{name: value})})
        for name, value in {
            "use_packed_scales": True, "weight_dtype": "uint16", "quantization_type": QuantizationType.STATIC_MX,
        }.items()
    ],
    # outputs
    (
        "spec.shard_on_block.per_core_output",
        {"spec": spec(per_core_output=True), "is_tensor_update_accumulating": False},
    ),
    ("spec.shard_on_block.per_core_output", {"spec": spec(per_core_output=True, non_overlapping_shards=True)}),
    (
        "spec.shard_on_block.non_overlapping_shards",
        {"spec": spec(non_overlapping_shards=True), "conditions": np.ones(len(INPUTS["block_to_expert"]), np.int32)},
    ),
]  # fmt: skip


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ",".join(f"{k}={v.shape}{v.dtype}" if hasattr(v, "shape") else f"{k}={v!s:.40}" for k, v in value.items())


@pytest.mark.parametrize(("argument", "changes"), BAD, ids=_name)
def test_a_bad_request_names_its_argument_and_computes_nothing(argument: str, changes: dict[str, Any]) -> None:
    error = refused(changes)
    assert error.argument == argument
    assert str(error).startswith(f"{argument}: ")
    assert error.fix.endswith(".")


GOOD: list[dict[str, Any]] = [
    {},
    {"quantization_config": QuantizationConfig()},
    {"quantization_config": None},
    {"compute_dtype": "float32"},
    {"gate_and_up_proj_bias": None, "down_proj_bias": None},
    {"down_proj_bias": INPUTS["down_proj_bias"][:, None, :]},
    {"expert_affinities_masked": INPUTS["expert_affinities_masked"].reshape(-1)},
    {
        "gate_clamp_upper_limit": 0,
        "gate_clamp_lower_limit": 0.0,
        "up_clamp_upper_limit": 1,
        "up_clamp_lower_limit": 1.0,
    },
    {"up_clamp_lower_limit": float("-inf")},
    {"is_tensor_update_accumulating": False},
    {"spec": spec(n_dynamic_blocks=-1, n_static_blocks=-1)},
    {"spec": spec(non_overlapping_shards=True), "is_tensor_update_accumulating": False},
]


@pytest.mark.parametrize("changes", GOOD, ids=_name)
def test_a_good_request_runs(changes: dict[str, Any]) -> None:
    assert run(CASE, INPUTS, **changes).run.profile.macs > 0


@pytest.mark.parametrize("block_size", [128, 256, 1024])
def test_block_sizes_at_the_limits_run(block_size: int) -> None:
    run(replace(CASE, B=block_size))


def test_weights_that_must_stay_on_chip_must_fit() -> None:
    case = replace(CASE, H=2048, I=2064, E=1, skip_weight=True)
    recorder = Recorder()
    with pytest.raises(RequestError, match="skip_weight") as caught:
        run(case, observers=[recorder])
    assert caught.value.argument == "skip_dma.skip_weight"
    assert recorder.events == []


def test_more_affinity_rows_than_int32_numbers_are_refused() -> None:
    """Checked on shapes alone: no such tensor fits in this computer."""

    class Sized:
        def __init__(self, dtype: str, *shape: int) -> None:
            self.dtype, self.shape = dtype, shape

    from nkimoe.planning.problem import Problem
    from nkimoe.planning.targets import TARGETS

    T, E = 2**20, 2**11
    request = Request(
        hidden_states=Sized("bfloat16", T, 128), expert_affinities_masked=Sized("bfloat16", T * E, 1),
        gate_up_proj_weight=Sized("bfloat16", E, 128, 2, 16), down_proj_weight=Sized("bfloat16", E, 16, 128),
        token_position_to_id=Sized("int32", 128), block_to_expert=Sized("int32", 1), block_size=128,
        spec=MoECTESpec(ON_BLOCK), compute_dtype="bfloat16",
    )  # fmt: skip
    tensors = (request.hidden_states, request.gate_up_proj_weight, request.down_proj_weight)
    problem = Problem.from_tensors(*tensors, request.token_position_to_id, 128, True, 2)
    with pytest.raises(RequestError, match="row numbers fit int32"):
        validate(request, problem, choose_variant(request), TARGETS["trn2"])
    less = replace(problem, T=T - 1, rows=T - 1)
    request = replace(request, hidden_states=Sized("bfloat16", T - 1, 128))
    request = replace(request, expert_affinities_masked=Sized("bfloat16", (T - 1) * E, 1))
    validate(request, less, choose_variant(request), TARGETS["trn2"])


def test_an_unknown_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="n_blocks"):
        nkisim.Simulator("trn2").run(moe_cte, **INPUTS, **CASE.options(), n_blocks=3)
