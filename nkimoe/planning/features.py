# SPDX-License-Identifier: Apache-2.0
"""The one table of features and who refuses them. Validation reads it; `nkimoe variants --matrix` prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from nkimoe.planning.mx.coded_rows import is_coded
from nkimoe.planning.quantization import STATIC, Matrix, down_of, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.variants import BLOCKS, DENSE, HYBRID, INTERMEDIATE, MX, VARIANTS, Variant
from nkimoe.spec import BlockShardStrategy, ExpertAffinityScaleMode, QuantizationType
from nkimoe.spec import MoECTEImplementation as Implementation


def _variants(are: Callable[[Variant], bool]) -> tuple[Implementation, ...]:
    return tuple(v.implementation for v in VARIANTS.values() if are(v))


ON_DENSE, ON_MX = _variants(lambda v: v.numerics == DENSE), _variants(lambda v: v.numerics == MX)
ON_BLOCKS, ON_I = _variants(lambda v: v.split == BLOCKS), _variants(lambda v: v.split == INTERMEDIATE)
LOOPED = _variants(lambda v: v.schedule == HYBRID)
LOOPED_ON_BLOCKS, LOOPED_ON_I = (tuple(v for v in LOOPED if v in own) for own in (ON_BLOCKS, ON_I))


class Refusal(NamedTuple):
    """Why a variant cannot honour a feature, and what would work."""

    why: str
    fix: str


@dataclass(frozen=True)
class Feature:
    """Something a request may ask for.

    Attributes:
        name: as the matrix prints it.
        argument: where it is asked for.
        is_asked: whether a request asks for it.
        refused: by the variants that cannot honour it.
    """

    name: str
    argument: str
    is_asked: Callable[[Request], bool]
    refused: Mapping[Implementation, Refusal] = field(default_factory=dict)


def _tensor(name: str) -> Callable[[Request], bool]:
    return lambda request: getattr(request, name) is not None


def _option(name: str) -> Callable[[Request], bool]:
    """An option of either configuration differs from its default."""

    def is_asked(request: Request) -> bool:
        given = [
            (getattr(config, name), f.default)
            for config in (request.spec.shard_on_block, request.spec.shard_on_I)
            for f in (fields(config) if config is not None else ())
            if f.name == name
        ]
        return any(value != default for value, default in given)

    return is_asked


def _mode(mode: ExpertAffinityScaleMode) -> Callable[[Request], bool]:
    return lambda request: request.expert_affinities_scaling_mode is mode


def _matrix(holds: Callable[[Matrix], bool]) -> Callable[[Request], bool]:
    return lambda request: any(holds(matrix) for matrix in (gate_up_of(request), down_of(request)))


def _only(*accepting: Implementation, why: str, fix: str) -> dict[Implementation, Refusal]:
    return {variant: Refusal(why, fix) for variant in VARIANTS if variant not in accepting}


_MX_ONLY = _only(*ON_MX, why="its weights are not MX", fix="Drop it, or use shard_on_block_mx.")
_DENSE_ONLY = _only(*ON_DENSE, why="its activations are quantised", fix="Drop it, or use a dense implementation.")
_BLOCK_ONLY = _only(*ON_BLOCKS, why="its cores share every block", fix="Drop it, or use shard_on_block.")
_MX_WEIGHTS = _only(
    *ON_MX, why="its weights are not MX",
    fix="Use shard_on_block_mx on trn3, or dequantise them on the host with nkimoe.weights.dense_arguments.",
)  # fmt: skip
_MX_ROWS = _only(*ON_MX, why="it multiplies 16-bit numbers", fix="Dequantise them with nkimoe.weights.dequantize_rows.")
_PLAIN = _only(*ON_DENSE, why="its weights are MX", fix="Pack them with Mx, or use a dense implementation.")
_DISJOINT = {
    **_BLOCK_ONLY,
    **dict.fromkeys(
        (v for v in ON_MX if v in ON_BLOCKS),
        Refusal("the blocks of a core depend on conditions", "Drop it, or use shard_on_block."),
    ),
}
_LOOPS = _only(*LOOPED, why="it runs every block", fix="Drop it, or use a hybrid implementation.")
_HYBRID_ONLY = _only(*LOOPED_ON_I, why="it runs every block", fix="Drop it, or use a hybrid implementation.")
_BLOCK_LOOPS = _only(
    *LOOPED_ON_BLOCKS, why="it has no such estimate", fix="Drop it; hybrids on I take spec.shard_on_I.num_static_block."
)
_OWN_I_CONFIG = _only(*ON_I, why="its options are a ShardOnBlockConfig", fix="Pass spec.shard_on_block.")
_OWN_BLOCK_CONFIG = _only(*ON_BLOCKS, why="its options are a ShardOnIConfig", fix="Pass spec.shard_on_I.")
_SPLITS_BLOCKS = _only(
    *ON_I, why="its cores exchange no partial sums: they are fp32 in PSUM",
    fix="Drop it, or use shard_on_i.",
)  # fmt: skip


def _has(name: str) -> Callable[[Request], bool]:
    return lambda request: getattr(request.spec, name) is not None


def _halves(request: Request) -> bool:
    config = request.spec.shard_on_block
    return config is not None and config.block_sharding_strategy is BlockShardStrategy.HI_LO


def _is_static_fp8(matrix: Matrix) -> bool:
    return matrix.is_fp8 and matrix.scale is not None and matrix.scale.layout == STATIC


def _is_row_fp8(matrix: Matrix) -> bool:
    return matrix.is_fp8 and not matrix.block and not _is_static_fp8(matrix)


def _in_blocks_of(size: int) -> Callable[[Request], bool]:
    return _matrix(lambda matrix: matrix.is_fp8 and matrix.block == size)


def _quantised_as(kind: QuantizationType) -> Callable[[Request], bool]:
    return lambda request: request.mx_options.quantization_type is kind


def _on_block(option: str, refused: Mapping[Implementation, Refusal]) -> Feature:
    return Feature(option, f"spec.shard_on_block.{option}", _option(option), refused)


WEIGHT_FORMS: tuple[Feature, ...] = (
    Feature("fp8 weights, row scales", "gate_up_proj_scale", _matrix(_is_row_fp8), _PLAIN),
    Feature("fp8 weights, static scales", "gate_up_proj_scale", _matrix(_is_static_fp8), _PLAIN),
    Feature("fp8 weights, scales of 128 x 128", "gate_up_proj_scale", _in_blocks_of(128), _PLAIN),
    Feature("fp8 weights, scales of 256 x 256", "gate_up_proj_scale", _in_blocks_of(256), _PLAIN),
    Feature("int8 weights", "gate_up_proj_weight", _matrix(lambda m: m.is_int8), _PLAIN),
    Feature("MXFP8 rows", "hidden_states", lambda r: is_coded(r.hidden_states), _MX_ROWS),
    Feature("MX weights", "gate_up_proj_weight", _matrix(lambda m: m.is_mx), _MX_WEIGHTS),
)
"""Refused before sizes are read, which depend on the form."""

FEATURES: tuple[Feature, ...] = (
    *WEIGHT_FORMS,
    Feature("gate and up bias", "gate_and_up_proj_bias", _tensor("gate_and_up_proj_bias")),
    Feature("down bias", "down_proj_bias", _tensor("down_proj_bias")),
    Feature("down bias of a rank's columns", "down_bias_tp_degree", _tensor("down_bias_tp_degree")),
    Feature("gate limits", "gate_clamp_upper_limit", lambda r: r.gate_clamp != (None, None)),
    Feature("up limits", "up_clamp_upper_limit", lambda r: r.up_clamp != (None, None)),
    Feature("offset of up", "up_offset", lambda r: r.up_offset != 0),
    Feature("up projection alone", "skip_gate_proj", lambda r: r.skip_gate_proj),
    Feature("NO_SCALE", "expert_affinities_scaling_mode", _mode(ExpertAffinityScaleMode.NO_SCALE)),
    Feature("PRE_SCALE", "expert_affinities_scaling_mode", _mode(ExpertAffinityScaleMode.PRE_SCALE)),
    Feature("PRE_SCALE_DELAYED", "expert_affinities_scaling_mode", _mode(ExpertAffinityScaleMode.PRE_SCALE_DELAYED)),
    Feature("affinity on I", "spec.expert_affinity_multiply_on_I", lambda r: r.affinity_multiplies_on_i),
    Feature(
        "int8 activations, a scale a token", "activation_quantization", _tensor("activation_quantization"),
        _PLAIN,
    ),
    Feature("fp8 gate/up activations", "gate_up_in_scale", _tensor("gate_up_in_scale")),
    Feature("fp8 down activations", "down_in_scale", _tensor("down_in_scale")),
    Feature("scales of gate/up activations", "gate_up_hidden_scale", _tensor("gate_up_hidden_scale"), _DENSE_ONLY),
    Feature("scales of down activations", "down_hidden_scale", _tensor("down_hidden_scale"), _DENSE_ONLY),
    Feature("checkpoints returned", "spec.checkpoint_activation", _option("checkpoint_activation"), _DENSE_ONLY),
    Feature("buffer for gate/up activations", "gate_up_activations_T", _tensor("gate_up_activations_T"), _DENSE_ONLY),
    Feature("buffer for down activations", "down_activations", _tensor("down_activations"), _DENSE_ONLY),
    Feature("pad ids of -1", "skip_dma", lambda r: r.skip_dma.skip_token),
    Feature("weights kept between blocks", "skip_dma", lambda r: r.skip_dma.skip_weight),
    Feature("one block a token", "is_tensor_update_accumulating", lambda r: not r.is_tensor_update_accumulating),
    Feature("a row a choice", "pairs", _tensor("pairs")),
    Feature("dtype of sums over cores", "accumulation_dtype", _tensor("accumulation_dtype"), _SPLITS_BLOCKS),
    Feature("conditions", "conditions", _tensor("conditions"), _LOOPS),
    Feature("num_static_block", "spec.shard_on_I.num_static_block", _option("num_static_block"), _HYBRID_ONLY),
    Feature("HI_LO", "spec.shard_on_block.block_sharding_strategy", _halves, _BLOCK_ONLY),
    _on_block("per_core_output", _BLOCK_ONLY),
    _on_block("non_overlapping_shards", _DISJOINT),
    _on_block("n_block_per_iter", _only(why="the plan chooses how many", fix="Drop it.")),
    _on_block("n_static_blocks", _BLOCK_LOOPS),
    _on_block("n_dynamic_blocks", _BLOCK_LOOPS),
    _on_block("top_k", _BLOCK_LOOPS),
    _on_block("ep_degree", _BLOCK_LOOPS),
    Feature("packed scales", "spec.use_packed_scales", _option("use_packed_scales"), _MX_ONLY),
    Feature("scales of 128 x 128, MX", "spec.use_block128_scales", _option("use_block128_scales"), _MX_ONLY),
    Feature("weight_dtype", "spec.weight_dtype", _option("weight_dtype"), _MX_ONLY),
    Feature("STATIC_MX", "spec.quantization_type", _quantised_as(QuantizationType.STATIC_MX), _MX_ONLY),
    Feature("ROW_MX", "spec.quantization_type", _quantised_as(QuantizationType.ROW_MX), _MX_ONLY),
    Feature("ShardOnIConfig", "spec.shard_on_I", _has("shard_on_I"), _OWN_I_CONFIG),
    Feature("ShardOnBlockConfig", "spec.shard_on_block", _has("shard_on_block"), _OWN_BLOCK_CONFIG),
)  # fmt: skip
