# SPDX-License-Identifier: Apache-2.0
"""What a caller asks for: enums and option classes, spelled as in nkilib, immutable.

Nothing here checks a combination of options against shapes or a target; that is one place, `planning/validate.py`.
Each option names the implementations that read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

INT8_PER_TOKEN = "int8_per_token"  # a value of `activation_quantization`
EXACT_ROWS = 1024  # products of two int8 numbers have at most 2**14: so many of any add up to at most 2**24


class MoECTEImplementation(Enum):
    """The implementations: what the two cores split, which loop, dense (Trn2) or MX (Trn3) numerics."""

    shard_on_block = 0
    shard_on_i = 1
    shard_on_i_hybrid = 2
    shard_on_i_dropping = 3
    shard_on_block_mx = 4
    shard_on_i_mx = 5
    shard_on_i_mx_hybrid = 6


class BlockShardStrategy(Enum):
    """Which blocks each core takes: the lower and upper half, or every other block."""

    HI_LO = 0
    PING_PONG = 1


class ActFnType(Enum):
    """Activation of the gate projection (of the up projection when there is no gate).

    GELU uses the exact erf, Swish is x * sigmoid(1.702 x), SquaredReLU is max(x, 0) ** 2.
    """

    SiLU = 0
    GELU = 1
    GELU_Tanh_Approx = 2
    Swish = 3
    ReLU = 4
    SquaredReLU = 5


class ExpertAffinityScaleMode(Enum):
    """Where a token's expert affinity (routing weight) multiplies.

    POST_SCALE: the expert's output, after the down bias. PRE_SCALE: the hidden row, before gate and up.
    PRE_SCALE_DELAYED: the gate and up matmul results, before their bias (same value as PRE_SCALE).
    """

    NO_SCALE = 0
    POST_SCALE = 1
    PRE_SCALE = 2
    PRE_SCALE_DELAYED = 3


class QuantizationType(Enum):
    """How weights (STATIC, ROW, MX) or weights and inputs (STATIC_MX, ROW_MX) are scaled."""

    NONE = 0
    STATIC = 1
    ROW = 2
    MX = 3
    STATIC_MX = 4
    ROW_MX = 5


@dataclass(frozen=True)
class SkipMode:
    """Which transfers may be skipped. Positional: `SkipMode(True, False)`.

    skip_token: pad slots hold id -1 and are never read; hidden states, affinities and output have T rows.
        False: pad slots hold id T, and row T of hidden states and affinities exists and is zero. Read by all.
    skip_weight: keep an expert's weights on chip while consecutive blocks use the same expert. Results do
        not change. Read by the block-sharded implementations.
    """

    skip_token: bool = False
    skip_weight: bool = False


@dataclass(frozen=True, eq=False)
class QuantizationConfig:
    """Dequantisation scales of the weights, as tensors; None means the weights are not quantised.

    Compared by identity, since the fields are tensors. Read by all implementations.

    gate_up_proj_scale: fp32, dense [E, 1, 2I] (row: per output column, gate first) or [E, 2, 1] (static), or of blocks
        of fp8 weights: 128 x 128 [E, H/128, 2, I/128], or 256 x 256 [E, H/256, 2, I/256, 128], each 128 times as in
        nkilib; both rounded up. uint8 e8m0 for MX, [E, 16, 2, H/512, I].
    down_proj_scale: fp32, dense [E, 1, H] (row) or [E, 1] (static), or of blocks [E, I/128, H/128] or
        [E, I/256, H/256, 128]; uint8 e8m0 for MX, [E, p_I/8, ceil(I/512), H] with p_I = min(128, I/4).
    exact_rows: of int8 weights whose activations are int8, too: rows of a contraction whose products fp32 adds without
        rounding, a multiple of 1024 (`nkimoe.weights.exact_rows`); None: 1024, which holds for any weights.
    """

    gate_up_proj_scale: Any = None
    down_proj_scale: Any = None
    exact_rows: int | None = None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Slots that hold a token's choice, not a token alone: each pair (token, choice) has a slot, and a row of its own.

    Compared by identity, since fields are tensors. Read by all implementations. How many blocks hold tokens at least
    follows from them, whatever top_k and ep_degree of a ShardOnBlockConfig estimate.

    positions: int32 [N * B], token * choices + choice; pads have T' * choices or more.
    weights: fp32 [N * B], the affinity of each slot; expert_affinities_masked then is None.
    choices: k, experts a token.
    rounds_each: results are rounded to the type of the output before they are added; else they are fp32.
    has_gaps: some pairs have no slot, so their rows are cleared first.
    """

    positions: Any
    weights: Any
    choices: int
    rounds_each: bool = True
    has_gaps: bool = False


@dataclass(frozen=True)
class ShardOnBlockConfig:
    """Options of the implementations that split blocks between the cores.

    n_block_per_iter: blocks one loop iteration handles on each core. Read by none: the plan chooses.
    block_sharding_strategy: which blocks a core takes. Read by shard_on_block, shard_on_block_mx.
    n_static_blocks: blocks, counted from the first, that run with or without tokens; -1: derived from
        n_dynamic_blocks. Read by shard_on_block, shard_on_block_mx, with `conditions`.
    n_dynamic_blocks: blocks, counted from the last, that run only where `conditions` is 1; -1: estimated
        from top_k and ep_degree. Read by shard_on_block, shard_on_block_mx, with `conditions`.
    non_overlapping_shards: the caller promises that no token has blocks on both cores, so no sum over cores
        is needed. Read by shard_on_block.
    use_packed_scales: four tiles of MX scales share a 32-partition quadrant. Read by shard_on_block_mx.
    weight_dtype: x4 dtype to see in weights stored in an integer carrier (uint16: fp4 unless given, uint32:
        e4m3 unless given). Read by shard_on_block_mx.
    top_k: experts a token is routed to, for the estimate of n_dynamic_blocks. Read by shard_on_block,
        shard_on_block_mx.
    ep_degree: ranks that share the experts, for the same estimate. Read by shard_on_block, shard_on_block_mx.
    quantization_type: MX: a scale for 32 weights. STATIC_MX, ROW_MX: fp32 scales for a matrix or a column, all block
        scales being 1. Read by shard_on_block_mx.
    use_block128_scales: MX scales come one for 128 x 128 weights, [E, 4, 2, H/512, ceil(I/128)] and
        [E, 4, ceil(I/512), ceil(H/128)]: of 32 packed rows and 128 columns. Read by shard_on_block_mx.
    per_core_output: return each core's slab, [T', 2, H] (shard_on_block) or [2, T', H] (shard_on_block_mx),
        slab 0 holding the sum and slab 1 zeros, as nkilib does, where T' = hidden_states.shape[0];
        False: [T', H]. Read by shard_on_block, shard_on_block_mx.
    checkpoint_activation: as in ShardOnIConfig. Read by shard_on_block.
    expert_affinity_multiply_on_I: as in ShardOnIConfig. Read by shard_on_block, shard_on_block_mx.
    """

    n_block_per_iter: int = 1
    block_sharding_strategy: BlockShardStrategy = BlockShardStrategy.PING_PONG
    n_static_blocks: int = -1
    n_dynamic_blocks: int = -1
    non_overlapping_shards: bool = False
    use_packed_scales: bool = False
    weight_dtype: Any = None
    top_k: int = 1
    ep_degree: int = 1
    quantization_type: QuantizationType = QuantizationType.MX
    per_core_output: bool = False
    checkpoint_activation: bool = False
    expert_affinity_multiply_on_I: bool = False
    use_block128_scales: bool = False


@dataclass(frozen=True)
class ShardOnIConfig:
    """Options of the implementations that split the intermediate dimension I between the cores.

    checkpoint_activation: also return the activations the backward pass needs: gate/up [N, 2, I, B] and,
        unless expert_affinity_multiply_on_I, down [N, B, H]. Read by shard_on_i, shard_on_i_hybrid;
        shard_on_i_dropping always returns them.
    expert_affinity_multiply_on_I: multiply act(gate) * up and the down bias by the affinity instead of the
        output, whatever the scale mode. Read by shard_on_i, shard_on_i_hybrid, shard_on_i_dropping.
    num_static_block: blocks, counted from the first, that run with or without tokens; None: N - E.
        Read by shard_on_i_hybrid, shard_on_i_mx_hybrid.
    use_packed_scales, weight_dtype, quantization_type, use_block128_scales: as in ShardOnBlockConfig. Read by
        shard_on_i_mx, shard_on_i_mx_hybrid.
    """

    checkpoint_activation: bool = False
    expert_affinity_multiply_on_I: bool = False
    num_static_block: int | None = None
    use_packed_scales: bool = False
    weight_dtype: Any = None
    quantization_type: QuantizationType = QuantizationType.MX
    use_block128_scales: bool = False


_BLOCK_SHARDED = (MoECTEImplementation.shard_on_block, MoECTEImplementation.shard_on_block_mx)
_HYBRIDS_ON_I = (MoECTEImplementation.shard_on_i_hybrid, MoECTEImplementation.shard_on_i_mx_hybrid)


@dataclass(frozen=True)
class MoECTESpec:
    """Which implementation runs, and its options. The matching options get their defaults if not given.

    shard_on_block: read by shard_on_block, shard_on_block_mx.
    shard_on_I: read by the shard_on_i implementations.

    Raises ValueError when implementation is not a MoECTEImplementation.

    >>> MoECTESpec(MoECTEImplementation.shard_on_i_hybrid).shard_on_I == ShardOnIConfig(num_static_block=None)
    True
    """

    implementation: MoECTEImplementation
    shard_on_block: ShardOnBlockConfig | None = None
    shard_on_I: ShardOnIConfig | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.implementation, MoECTEImplementation):
            raise ValueError(
                f"implementation must be a MoECTEImplementation, got {self.implementation!r}; choose one of "
                + ", ".join(member.name for member in MoECTEImplementation)
            )
        if self.implementation in _BLOCK_SHARDED:
            if self.shard_on_block is None:
                object.__setattr__(self, "shard_on_block", ShardOnBlockConfig())
        elif self.shard_on_I is None:
            object.__setattr__(self, "shard_on_I", ShardOnIConfig())

    @classmethod
    def suited(
        cls, implementation: MoECTEImplementation, strategy: BlockShardStrategy = BlockShardStrategy.HI_LO
    ) -> MoECTESpec:
        """The options for a caller without wishes: nki-library's, but that a core takes consecutive blocks, so that it
        loads an expert's weights once; or those that `strategy` says, where cores split blocks.

        >>> MoECTESpec.suited(MoECTEImplementation.shard_on_block).shard_on_block.block_sharding_strategy.name
        'HI_LO'
        """
        if implementation in _BLOCK_SHARDED:
            return cls(implementation, ShardOnBlockConfig(block_sharding_strategy=strategy))
        return cls(implementation)

    def shared_by(self, ep_degree: int, tokens: int, top_k: int, block_size: int) -> MoECTESpec:
        """Of a rank of `ep_degree` that share the experts, for a call with blocks for all `tokens`, of which each lists
        `top_k` experts of any rank: how many blocks hold tokens at least is told as if all ranks got as many.

        >>> hybrid = MoECTESpec(MoECTEImplementation.shard_on_i_hybrid)
        >>> hybrid.shared_by(16, tokens=4096, top_k=8, block_size=128).shard_on_I.num_static_block
        16
        """
        if ep_degree == 1:
            return self
        if self.shard_on_block is not None:
            return replace(self, shard_on_block=replace(self.shard_on_block, top_k=top_k, ep_degree=ep_degree))
        if self.implementation not in _HYBRIDS_ON_I:
            return self
        assert self.shard_on_I is not None, "filled in above"
        filled = tokens * top_k // ep_degree // block_size
        return replace(self, shard_on_I=replace(self.shard_on_I, num_static_block=filled))
