"""The request classes carry nkilib's names, values and defaults, and cannot be changed after construction."""

import dataclasses
from enum import Enum

import numpy as np
import pytest

from nkimoe.spec import (
    ActFnType,
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    QuantizationConfig,
    QuantizationType,
    ShardOnBlockConfig,
    ShardOnIConfig,
    SkipMode,
)

BLOCK_SHARDED = (MoECTEImplementation.shard_on_block, MoECTEImplementation.shard_on_block_mx)
I_SHARDED = tuple(member for member in MoECTEImplementation if member not in BLOCK_SHARDED)

MEMBERS: dict[type[Enum], str] = {
    MoECTEImplementation: "shard_on_block shard_on_i shard_on_i_hybrid shard_on_i_dropping "
    "shard_on_block_mx shard_on_i_mx shard_on_i_mx_hybrid",
    BlockShardStrategy: "HI_LO PING_PONG",
    ActFnType: "SiLU GELU GELU_Tanh_Approx Swish ReLU SquaredReLU",
    ExpertAffinityScaleMode: "NO_SCALE POST_SCALE PRE_SCALE PRE_SCALE_DELAYED",
    QuantizationType: "NONE STATIC ROW MX STATIC_MX ROW_MX",
}


@pytest.mark.parametrize("enum", MEMBERS, ids=lambda enum: enum.__name__)
def test_enum_members_are_numbered_in_the_published_order(enum: type[Enum]) -> None:
    assert [(member.name, member.value) for member in enum] == [
        (name, value) for value, name in enumerate(MEMBERS[enum].split())
    ]


def test_skip_mode_is_positional_token_first() -> None:
    assert SkipMode(True, False) == SkipMode(skip_token=True, skip_weight=False)
    assert SkipMode() == SkipMode(False, False)


def test_shard_on_block_defaults() -> None:
    assert dataclasses.asdict(ShardOnBlockConfig()) == {
        "n_block_per_iter": 1,
        "block_sharding_strategy": BlockShardStrategy.PING_PONG,
        "n_static_blocks": -1,
        "n_dynamic_blocks": -1,
        "non_overlapping_shards": False,
        "use_packed_scales": False,
        "weight_dtype": None,
        "top_k": 1,
        "ep_degree": 1,
        "quantization_type": QuantizationType.MX,
        "per_core_output": False,
        "checkpoint_activation": False,
        "expert_affinity_multiply_on_I": False,
        "use_block128_scales": False,
    }


def test_shard_on_i_defaults() -> None:
    assert dataclasses.asdict(ShardOnIConfig()) == {
        "checkpoint_activation": False,
        "expert_affinity_multiply_on_I": False,
        "num_static_block": None,
        "use_packed_scales": False,
        "weight_dtype": None,
        "quantization_type": QuantizationType.MX,
        "use_block128_scales": False,
    }


@pytest.mark.parametrize("implementation", BLOCK_SHARDED)
def test_a_block_sharded_spec_gets_block_options_only(implementation: MoECTEImplementation) -> None:
    spec = MoECTESpec(implementation)
    assert (spec.shard_on_block, spec.shard_on_I) == (ShardOnBlockConfig(), None)


@pytest.mark.parametrize("implementation", I_SHARDED)
def test_an_intermediate_sharded_spec_gets_intermediate_options_only(
    implementation: MoECTEImplementation,
) -> None:
    spec = MoECTESpec(implementation)
    assert (spec.shard_on_block, spec.shard_on_I) == (None, ShardOnIConfig())


def test_options_the_caller_gives_are_kept() -> None:
    block, on_i = ShardOnBlockConfig(n_static_blocks=2), ShardOnIConfig(num_static_block=3)
    assert MoECTESpec(MoECTEImplementation.shard_on_block, block).shard_on_block is block
    assert MoECTESpec(MoECTEImplementation.shard_on_i_hybrid, shard_on_I=on_i).shard_on_I is on_i


def test_options_of_the_other_split_are_kept_for_validation_to_judge() -> None:
    block = ShardOnBlockConfig(top_k=4)
    spec = MoECTESpec(MoECTEImplementation.shard_on_i, shard_on_block=block)
    assert (spec.shard_on_block, spec.shard_on_I) == (block, ShardOnIConfig())


@pytest.mark.parametrize("wrong", [0, "shard_on_i", None, BlockShardStrategy.HI_LO])
def test_an_unknown_implementation_is_refused_with_the_choices(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"must be a MoECTEImplementation, got .*shard_on_i_dropping"):
        MoECTESpec(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "instance",
    [
        SkipMode(),
        QuantizationConfig(),
        ShardOnBlockConfig(),
        ShardOnIConfig(),
        MoECTESpec(MoECTEImplementation.shard_on_i),
    ],
    ids=lambda instance: type(instance).__name__,
)
def test_a_request_cannot_be_changed(instance: object) -> None:
    field = next(iter(vars(instance)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(instance, field, None)


def test_specs_compare_by_value_and_quantization_by_identity() -> None:
    assert MoECTESpec(MoECTEImplementation.shard_on_i) == MoECTESpec(MoECTEImplementation.shard_on_i)
    assert hash(MoECTESpec(MoECTEImplementation.shard_on_i)) is not None
    scales = QuantizationConfig(np.ones((2, 1, 4), np.float32), np.ones((2, 1, 4), np.float32))
    assert scales == scales
    assert scales != QuantizationConfig(scales.gate_up_proj_scale, scales.down_proj_scale)
