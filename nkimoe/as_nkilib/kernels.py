# SPDX-License-Identifier: Apache-2.0
"""nkilib's direct kernels, which neuronx-distributed calls: `moe_cte` with the implementation in the name.

Arguments, their order and defaults are those of nkilib at NKI 0.3, when these kernels became public; behind them come
later ones, by name.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from math import prod
from typing import Any

import nki.language as nl

from nkimoe import moe_cte
from nkimoe.as_nkilib.entry import kernel, slabs_where_nkilib_has_them
from nkimoe.errors import require
from nkimoe.planning.scale_blocks import block_of
from nkimoe.spec import (
    ActFnType,
    BlockShardStrategy,
    ExpertAffinityScaleMode,
    MoECTEImplementation,
    MoECTESpec,
    ShardOnBlockConfig,
    ShardOnIConfig,
    SkipMode,
)

_PRE, _POST = ExpertAffinityScaleMode.PRE_SCALE, ExpertAffinityScaleMode.POST_SCALE
_TENSORS = "hidden_states expert_affinities_masked gate_up_proj_weight down_proj_weight"
_INDICES = "token_position_to_id block_to_expert"
_SCALES = "gate_and_up_proj_bias= down_proj_bias= gate_up_proj_scale= down_proj_scale="
_OPTIONS = "activation_function= skip_dma= compute_dtype="
_AFFINITY = "is_tensor_update_accumulating= expert_affinities_scaling_mode="
_LIMITS = "gate_clamp_upper_limit= gate_clamp_lower_limit= up_clamp_lower_limit= up_clamp_upper_limit="
_QUANTISED = "gate_up_hidden_scale= down_hidden_scale= is_block_quant= is_per_tensor="
_DEFAULTS: dict[str, Any] = {
    "activation_function": ActFnType.SiLU,
    "skip_dma": SkipMode(),
    "compute_dtype": nl.bfloat16,
    "is_tensor_update_accumulating": True,
    "expert_affinities_scaling_mode": _POST,
    "n_block_per_iter": 1,
    "block_sharding_strategy": BlockShardStrategy.PING_PONG,
    "n_static_blocks": -1,
    "n_dynamic_blocks": 55,
    "checkpoint_activation": False,
    "expert_affinity_multiply_on_I": False,
    "is_block_quant": False,
    "is_per_tensor": False,
    "use_block128_scales": False,
}
_CONFIGS: dict[str, Any] = {
    "shard_on_block": ShardOnBlockConfig,
    "shard_on_I": ShardOnIConfig,
}


def _named(name: str, implementation: str, parameters: str, **defaults: Any) -> Any:
    """A kernel called `name`; `parameters` in order, those with a default ending in `=`."""
    values = _DEFAULTS | defaults
    kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    signature = inspect.Signature(
        [
            inspect.Parameter(word.rstrip("="), kind, default=values.get(word[:-1]) if word[-1] == "=" else none)
            for word in parameters.split()
        ]
    )

    def direct(arguments: dict[str, Any]) -> Any:
        _check_scale_forms(arguments)
        spec = _spec(MoECTEImplementation[implementation], arguments)
        spec = slabs_where_nkilib_has_them(spec, arguments["is_tensor_update_accumulating"])
        return moe_cte(**arguments, spec=spec)

    direct.__name__ = direct.__qualname__ = name
    direct.__doc__ = f"`nkimoe.moe_cte` as {implementation}."
    return kernel(signature)(direct)


def _spec(implementation: MoECTEImplementation, arguments: dict[str, Any]) -> MoECTESpec:
    """The spec, and its options taken out of the arguments."""
    field = "shard_on_block" if "shard_on_block" in implementation.name else "shard_on_I"
    config = _CONFIGS[field]
    names = [f.name for f in fields(config) if f.name in arguments]
    chosen: dict[str, Any] = {field: config(**{name: arguments.pop(name) for name in names})}
    return MoECTESpec(implementation, **chosen)


def _check_scale_forms(arguments: dict[str, Any]) -> None:
    """Take out what nkilib is told about scales, and here their shapes say.

    Raises:
        RequestError: the two disagree.
    """
    is_block_quant, is_per_tensor = (arguments.pop(name, False) for name in ("is_block_quant", "is_per_tensor"))
    for which, matrices in (("gate_up_proj", 2), ("down_proj", 1)):
        argument = f"{which}_scale"
        scale, weight = arguments[argument], arguments[f"{which}_weight"]
        shape = () if scale is None else tuple(int(n) for n in scale.shape)
        block = block_of(shape, weight.shape)
        require(
            not is_block_quant or block == 256, argument, "has scales of 256 x 256 weights with is_block_quant", shape,
            "Give each 128 times.",
        )  # fmt: skip
        require(
            not is_per_tensor or prod(shape[1:]) == matrices, argument, "has a scale a matrix with is_per_tensor",
            shape, "Drop is_per_tensor.",
        )  # fmt: skip


bwmm_shard_on_block = _named(
    "bwmm_shard_on_block", "shard_on_block",
    f"{_TENSORS} block_size {_INDICES} {_SCALES} down_activations= {_OPTIONS} {_AFFINITY} n_block_per_iter= "
    "gate_clamp_upper_limit= gate_clamp_lower_limit= up_clamp_upper_limit= up_clamp_lower_limit= "
    "block_sharding_strategy=",
)  # fmt: skip
bwmm_shard_on_block_mx = _named(
    "bwmm_shard_on_block_mx", "shard_on_block_mx",
    f"{_TENSORS} {_INDICES} conditions= {_SCALES} block_size= n_static_blocks= n_dynamic_blocks= "
    f"gate_up_activations_T= down_activations= {_OPTIONS} weight_dtype= {_AFFINITY} {_LIMITS}",
)  # fmt: skip
SHARDED_ON_I = (
    _named(
        "blockwise_mm_baseline_shard_intermediate", "shard_on_i",
        f"{_TENSORS} block_size {_INDICES} {_SCALES} {_OPTIONS} {_AFFINITY} {_LIMITS} checkpoint_activation= "
        f"expert_affinity_multiply_on_I= {_QUANTISED}", expert_affinities_scaling_mode=_PRE,
    ),
    _named(
        "blockwise_mm_baseline_shard_intermediate_hybrid", "shard_on_i_hybrid",
        f"conditions {_TENSORS} block_size {_INDICES} num_static_block= {_SCALES} gate_up_activations_T= "
        f"down_activations= {_OPTIONS} {_AFFINITY} {_LIMITS}",
    ),
    _named(
        "blockwise_mm_shard_intermediate_dropping", "shard_on_i_dropping",
        f"{_TENSORS} block_size {_INDICES} {_SCALES} {_OPTIONS} {_AFFINITY} expert_affinity_multiply_on_I= {_LIMITS}",
        expert_affinities_scaling_mode=_PRE,
    ),
)  # fmt: skip
SHARDED_ON_I_MX = (
    _named(
        "blockwise_mm_shard_intermediate_mx", "shard_on_i_mx",
        f"{_TENSORS} {_INDICES} {_SCALES} block_size= {_OPTIONS} weight_dtype= {_AFFINITY} {_LIMITS} "
        "use_block128_scales=", expert_affinities_scaling_mode=_PRE,
    ),
    _named(
        "blockwise_mm_shard_intermediate_mx_hybrid", "shard_on_i_mx_hybrid",
        f"conditions {_TENSORS} {_INDICES} {_SCALES} block_size= num_static_block= {_OPTIONS} weight_dtype= "
        f"{_AFFINITY} {_LIMITS} use_block128_scales=",
    ),
)  # fmt: skip
