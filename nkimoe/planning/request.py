# SPDX-License-Identifier: Apache-2.0
"""One call of `moe_cte` as a value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from nkimoe.planning.mx.coded_rows import is_coded
from nkimoe.planning.operation_needs import Added, Smooth
from nkimoe.planning.variants import VARIANTS
from nkimoe.spec import (
    INT8_PER_TOKEN,
    ActFnType,
    ExpertAffinityScaleMode,
    MoECTESpec,
    Pairs,
    QuantizationConfig,
    ShardOnBlockConfig,
    ShardOnIConfig,
    SkipMode,
)

Kind = TypeVar("Kind", bound="Request")
COMPUTE_DTYPES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of the types that matmul operands may have on chip."""


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of `moe_cte`, by name; `skip_dma=None` has become `SkipMode()`, and NumPy's numbers and types plain
    numbers and names of types.
    """

    hidden_states: Any
    expert_affinities_masked: Any
    gate_up_proj_weight: Any
    down_proj_weight: Any
    token_position_to_id: Any
    block_to_expert: Any
    block_size: int
    spec: MoECTESpec
    compute_dtype: Any
    conditions: Any = None
    gate_and_up_proj_bias: Any = None
    down_proj_bias: Any = None
    quantization_config: QuantizationConfig | None = None
    gate_up_activations_T: Any = None
    down_activations: Any = None
    activation_function: ActFnType = ActFnType.SiLU
    skip_dma: SkipMode = SkipMode()
    is_tensor_update_accumulating: bool = True
    expert_affinities_scaling_mode: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE
    gate_clamp_upper_limit: float | None = None
    gate_clamp_lower_limit: float | None = None
    up_clamp_upper_limit: float | None = None
    up_clamp_lower_limit: float | None = None
    gate_up_proj_scale: Any = None
    down_proj_scale: Any = None
    gate_up_in_scale: Any = None
    down_in_scale: Any = None
    accumulation_dtype: Any = None
    skip_gate_proj: bool = False
    up_offset: float = 0.0
    activation_quantization: str | None = None
    gate_up_hidden_scale: Any = None
    down_hidden_scale: Any = None
    down_bias_tp_degree: int | None = None
    down_bias_tp_rank: int | None = None
    pairs: Pairs | None = None

    @classmethod
    def from_arguments(cls: type[Kind], arguments: dict[str, Any]) -> Kind:
        """The request behind `moe_cte(**arguments)`, other names ignored."""
        own = {f.name: arguments[f.name] for f in fields(cls) if f.name in arguments}
        if own.get("skip_dma") is None:
            own["skip_dma"] = SkipMode()
        return cls(**{name: _plain(value) for name, value in own.items()})

    @property
    def gate_clamp(self) -> tuple[float | None, float | None]:
        """(upper, lower) limit of the gate projection."""
        return self.gate_clamp_upper_limit, self.gate_clamp_lower_limit

    @property
    def up_clamp(self) -> tuple[float | None, float | None]:
        """(upper, lower) limit of the up projection."""
        return self.up_clamp_upper_limit, self.up_clamp_lower_limit

    @property
    def block_options(self) -> ShardOnBlockConfig:
        """Options of a block-sharded implementation."""
        assert self.spec.shard_on_block is not None, "MoECTESpec fills this in for block-sharded implementations"
        return self.spec.shard_on_block

    @property
    def mx_options(self) -> ShardOnBlockConfig | ShardOnIConfig:
        """Where an MX implementation finds how its weights are stored."""
        config = self.spec.shard_on_block or self.spec.shard_on_I
        assert config is not None, "MoECTESpec fills in the matching one"
        return config

    @property
    def affinity_multiplies_on_i(self) -> bool:
        """Whether the affinity multiplies act(gate) * up instead of what the scale mode says."""
        config = self.spec.shard_on_I or self.spec.shard_on_block
        return config is not None and config.expert_affinity_multiply_on_I

    @property
    def is_int8(self) -> bool:
        """Whether activations become int8."""
        return self.activation_quantization == INT8_PER_TOKEN

    @property
    def keeps_activations(self) -> bool:
        """Whether checkpoints are asked for, by option or by passing a buffer."""
        config = self.spec.shard_on_I or self.spec.shard_on_block
        asked = config is not None and config.checkpoint_activation
        return asked or self.gate_up_activations_T is not None or self.down_activations is not None

    @property
    def quantises_activations(self) -> bool:
        """Whether the inputs of a projection become fp8 or int8."""
        return (
            VARIANTS[self.spec.implementation].is_mx
            or self.activation_quantization is not None
            or self.gate_up_in_scale is not None
            or self.down_in_scale is not None
        )

    @property
    def added(self) -> Added | None:
        """Of operations only (`OperationRequest`), as the next."""
        return None

    @property
    def smooth(self) -> Smooth | None:
        return None

    @property
    def has_packed_affinities(self) -> bool:
        """Whether affinities lie behind the scales of MXFP8 rows."""
        return self.expert_affinities_masked is None and self.pairs is None and is_coded(self.hidden_states)

    @property
    def output_dtype(self) -> Any:
        """Of the output, of affinities and biases: that of the hidden states, or of what coded ones are computed in."""
        return self.compute_dtype if is_coded(self.hidden_states) else self.hidden_states.dtype

    @property
    def sum_dtype(self) -> Any:
        """Of partial sums on their way between cores."""
        return self.accumulation_dtype or "float32"


@dataclass(frozen=True, eq=False)
class OperationRequest(Request):
    """What an operation asks of the kernels of `moe_cte`."""

    added: Added | None = None
    smooth: Smooth | None = None


def _plain(value: Any) -> Any:
    """A NumPy scalar as a Python number, a NumPy type as its name; everything else as it is."""
    if isinstance(value, (np.integer, np.floating)):
        return value.item()
    if isinstance(value, np.dtype):
        return value.name
    return np.dtype(value).name if isinstance(value, type) and issubclass(value, np.generic) else value
