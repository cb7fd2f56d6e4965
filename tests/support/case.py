"""A test case of `moe_cte`: every choice with a default, and a name made of the choices that differ from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import pytest

from nkimoe import (
    ActFnType,
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    QuantizationType,
    ShardOnBlockConfig,
    ShardOnIConfig,
    SkipMode,
)


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        variant: name of the implementation.
        T, H, I, E, K, B: sizes; K experts a token, at most E.
        padding_blocks: blocks without a token at the end; None: as many as `static_block_count` leaves.
        routing: see `routing.ROUTINGS`.
        dtype: of all floating tensors; compute_dtype: on chip, None for the same.
        biases: "both", "gate_up", "down" or "none".
        bias_degree, bias_rank: how many ranks share the columns of the down bias, and which one this is.
        gate_upper, gate_lower, up_upper, up_lower: clamp limits.
        values: "normal" or "dyadic" (sums exact in fp32 in any order, see `inputs`).
        weights: "plain", or quantised to the type `fp8`: "fp8-row", "fp8-static", "fp8-block" or "fp8-block256"; or
            "int8"; or "mxfp4", "mxfp8", "mxfp8-e5m2".
        mx_scales: how MX weights are scaled; packed_scales, coarse_scales: block scales as `use_packed_scales` and
            `use_block128_scales` take them; carrier:
            packed weights as integers.
        coded_rows: hidden states come as MXFP8.
        packed_affinities: with their affinities behind.
        shared_scales: one set of scales for all experts.
        shuffled: blocks with tokens in random order instead of by expert.
        checkpoints: ask for activation checkpoints.
        static_blocks: num_static_block of a hybrid, n_static_blocks where blocks are split; dynamic_blocks: its
            n_dynamic_blocks; conditions: how many more of them than blocks, None for none at all; -1: as the variant
            needs them (one more, or none).
        hidden_scales: of activations that came quantised: "none", or those of "tokens" or "experts".
        int8_inputs: activations become int8, a scale a token.
        fp8_inputs: which activations are quantised too: "none", "gate_up", "down" or "both".
    """

    variant: str = "shard_on_block"
    T: int = 200
    H: int = 256
    I: int = 192
    E: int = 4
    K: int = 2
    B: int = 128
    padding_blocks: int | None = None
    routing: str = "random"
    skip_token: bool = True
    skip_weight: bool = False
    cores: int = 2
    target: str = "trn2"
    dtype: str = "bfloat16"
    compute_dtype: str | None = None
    biases: str = "both"
    bias_degree: int = 1
    bias_rank: int = 0
    activation: ActFnType = ActFnType.SiLU
    gate_upper: float | None = None
    gate_lower: float | None = None
    up_upper: float | None = None
    up_lower: float | None = None
    scaling: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE
    strategy: BlockShardStrategy = BlockShardStrategy.PING_PONG
    per_core_output: bool = False
    non_overlapping: bool = False
    accumulating: bool = True
    multiply_on_i: bool = False
    up_offset: float = 0.0
    skip_gate: bool = False
    weights: str = "plain"
    fp8: str = "float8_e4m3"
    shared_scales: bool = False
    fp8_inputs: str = "none"
    int8_inputs: bool = False
    hidden_scales: str = "none"
    checkpoints: bool = False
    shuffled: bool = False
    mx_scales: QuantizationType = QuantizationType.MX
    packed_scales: bool = False
    coarse_scales: bool = False
    coded_rows: bool = False
    packed_affinities: bool = False
    carrier: bool = False
    static_blocks: int | None = None
    dynamic_blocks: int = -1
    conditions: int | None = -1
    values: str = "normal"
    seed: int = 0

    def __str__(self) -> str:
        """What differs from the defaults: `T1-H128-skip_weight-ReLU`."""
        different = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return "-".join(_label(name, value) for name, value in different) or "default"

    @property
    def extra_conditions(self) -> int | None:
        """Elements of `conditions` beyond one a block; None without them."""
        if self.conditions != -1:
            return self.conditions
        return 1 if self.variant in ("shard_on_i_hybrid", "shard_on_block_mx", "shard_on_i_mx_hybrid") else None

    @property
    def is_mx(self) -> bool:
        return self.variant.find("_mx") > 0

    @property
    def down_bias_on_chip(self) -> str | None:
        """Its type, if there is one."""
        return self.computes_in if self.biases in ("both", "down") else None

    @property
    def computes_in(self) -> str:
        return self.compute_dtype or self.dtype

    def spec(self) -> MoECTESpec:
        """Which implementation, and its options."""
        implementation = MoECTEImplementation[self.variant]
        stored: dict[str, Any] = {"use_packed_scales": self.packed_scales, "quantization_type": self.mx_scales}
        stored["use_block128_scales"] = self.coarse_scales
        if self.carrier and self.weights == "mxfp8-e5m2":
            stored["weight_dtype"] = "float8_e5m2_x4"
        if self.variant == "shard_on_block_mx":
            on_block = ShardOnBlockConfig(
                block_sharding_strategy=self.strategy,
                per_core_output=self.per_core_output,
                expert_affinity_multiply_on_I=self.multiply_on_i,
                checkpoint_activation=self.checkpoints,
                n_static_blocks=-1 if self.static_blocks is None else self.static_blocks,
                n_dynamic_blocks=self.dynamic_blocks,
                **stored,
            )
            return MoECTESpec(implementation, shard_on_block=on_block)
        if self.variant == "shard_on_block":
            on_block = ShardOnBlockConfig(
                block_sharding_strategy=self.strategy,
                per_core_output=self.per_core_output,
                non_overlapping_shards=self.non_overlapping,
                checkpoint_activation=self.checkpoints,
                expert_affinity_multiply_on_I=self.multiply_on_i,
                n_static_blocks=-1 if self.static_blocks is None else self.static_blocks,
                n_dynamic_blocks=self.dynamic_blocks,
            )
            return MoECTESpec(implementation, shard_on_block=on_block)
        on_i = ShardOnIConfig(self.checkpoints, self.multiply_on_i, self.static_blocks, **stored)
        return MoECTESpec(implementation, shard_on_I=on_i)

    def options(self) -> dict[str, Any]:
        """The arguments of `moe_cte` that are not tensors."""
        return {
            "block_size": self.B,
            "spec": self.spec(),
            "activation_function": self.activation,
            "skip_dma": SkipMode(self.skip_token, self.skip_weight),
            "compute_dtype": self.computes_in,
            "is_tensor_update_accumulating": self.accumulating,
            "expert_affinities_scaling_mode": self.scaling,
            "gate_clamp_upper_limit": self.gate_upper,
            "gate_clamp_lower_limit": self.gate_lower,
            "up_clamp_upper_limit": self.up_upper,
            "up_clamp_lower_limit": self.up_lower,
            "up_offset": self.up_offset,
            "skip_gate_proj": self.skip_gate,
            **(
                {"down_bias_tp_degree": self.bias_degree, "down_bias_tp_rank": self.bias_rank}
                if self.bias_degree > 1
                else {}
            ),
            "activation_quantization": "int8_per_token" if self.int8_inputs else None,
        }


def _label(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    if isinstance(value, Enum):
        return value.name
    return value if isinstance(value, str) and name != "compute_dtype" else f"{name}{value}"


def cases(*listed: Case, slow: tuple[Case, ...] = ()) -> pytest.MarkDecorator:
    """Parametrise a test over cases, named by what is special about them."""
    parameters = [*listed, *(pytest.param(case, marks=pytest.mark.slow) for case in slow)]
    return pytest.mark.parametrize("case", parameters, ids=str)
