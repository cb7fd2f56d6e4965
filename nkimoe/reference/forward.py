# SPDX-License-Identifier: Apache-2.0
"""The definition of the operation: the blockwise Mixture-of-Experts MLP in NumPy, all in fp32.

For each slot of block b, with expert e = block_to_expert[b], token t = token_position_to_id[slot] and
affinity a = affinities[t * E + e]:

    g = x[t] @ Wg[e] + bg[e]          PRE_SCALE: (x[t] * a) @ Wg[e];  PRE_SCALE_DELAYED: (x[t] @ Wg[e]) * a
    u = x[t] @ Wu[e] + bu[e]          likewise
    m = act(clamp(g)) * (clamp(u) + up_offset)      without a gate: act(clamp(u) + up_offset)
    y = m @ Wd[e] + bd[e]             POST_SCALE: (m @ Wd[e] + bd[e]) * a;  on I: (m * a) @ Wd[e] + bd[e] * a
    out[t] += y                       not accumulating: out[t] = y, in block order

Scales multiply the matmul results, before the bias: quantised weights are the values as stored, times their scale.
Scales of blocks of 128 or 256 rows and columns multiply the weights instead (the kernel rounds the product).
With an input scale s, x (or m) enters its matmul as fp8(x / s), saturated, and the result is multiplied by s too;
PRE_SCALE then is PRE_SCALE_DELAYED.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.planning.hidden_scales import of_tokens
from nkimoe.planning.scale_blocks import block_of
from nkimoe.reference.activations import ACTIVATIONS
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode
from nkimoe.weights.block_scales import spread_blocks

Rounding = Callable[[Floats], Floats]


def moe_cte_reference(
    hidden_states: Array, expert_affinities_masked: Array,
    gate_up_proj_weight: Array, down_proj_weight: Array,
    token_position_to_id: Array, block_to_expert: Array, block_size: int, *,
    is_tensor_update_accumulating: bool = True, **options: Any,
) -> Floats:  # fmt: skip
    """Return the output, float32 [T', H] with T' = hidden_states.shape[0]; a row that no slot names is zero.

    hidden_states [T', H], expert_affinities_masked [T' * E, 1], gate_up_proj_weight [E, H, 2, I] gate first,
    down_proj_weight [E, I, H]: any float dtype. token_position_to_id [N * B], block_to_expert [N] or [N, 1]: integers.
    options: the other arguments of `moe_cte` by name, as far as `LayerOptions` lists them, and skip_token.

    Tokens are rows 0..T'-1 with skip_token, else 0..T'-2 (the last row is the pad row); a slot with any other
    id is padding. Blocks from the first zero of `conditions` on are not computed: they hold no token
    (`check_inputs`). 0.0 is a limit.
    Raises ValueError when affinities, ids and blocks disagree in size, or a used block's expert is unknown.
    """
    tensors = (hidden_states, expert_affinities_masked, gate_up_proj_weight, down_proj_weight)
    output = np.zeros(hidden_states.shape, np.float32)
    for values in _blocks(*tensors, token_position_to_id, block_to_expert, block_size, LayerOptions(**options)):
        if is_tensor_update_accumulating:
            np.add.at(output, values.tokens, values.y)
        else:
            output[values.tokens] = values.y
    return output


def moe_cte_checkpoints_reference(
    hidden_states: Array, expert_affinities_masked: Array,
    gate_up_proj_weight: Array, down_proj_weight: Array,
    token_position_to_id: Array, block_to_expert: Array, block_size: int, **options: Any,
) -> tuple[Floats, Floats]:  # fmt: skip
    """For the backward pass: gate and up before the activation, [N, 2, I, B], and y before its affinity, [N, B, H].

    Both are zero for pad slots, and for a gate that is skipped. Arguments as for `moe_cte_reference`.
    """
    n_blocks, (_, I, H) = block_to_expert.size, down_proj_weight.shape
    gate_up, down = np.zeros((n_blocks, 2, I, block_size), np.float32), np.zeros((n_blocks, block_size, H), np.float32)
    tensors = (hidden_states, expert_affinities_masked, gate_up_proj_weight, down_proj_weight)
    for values in _blocks(*tensors, token_position_to_id, block_to_expert, block_size, LayerOptions(**options)):
        halves = values.gate_up.shape[1]
        gate_up[values.block, 2 - halves :, :, values.slots] = values.gate_up
        down[values.block, values.slots] = values.y_unscaled
    return gate_up, down


def _unrounded(x: Floats) -> Floats:
    return x


@dataclass(frozen=True)
class LayerOptions:
    """The options of a layer, named as in `moe_cte`; skip_token and expert_affinity_multiply_on_I are fields of its
    option classes.

    gate_and_up_proj_bias [E, 2, I], down_proj_bias [E, H] or [E, 1, H]. Scales are per expert, or for all with a first
    dimension of 1: gate_up_proj_scale [., 1, 2I] or [., 2, 1], down_proj_scale [., 1, H] or [., 1], in scales [., 1].
    Hidden scales are of tokens, [T', 1], or of experts, [E, 2, 1] and [E, 1], and multiply products, too.
    With down_bias_tp_degree, down_proj_bias is [E, H / degree], for the columns of down_bias_tp_rank.
    Of blocks: [., H/128, 2, I/128] and [., I/128, H/128], or [., H/256, 2, I/256, 128] and [., I/256, H/256, 128].
    skip_gate_proj leaves the gate half of weights, scales, bias and limits unused. The roundings are what becomes of
    x and m before their matmuls (`reference_mx`).
    """

    gate_and_up_proj_bias: Array | None = None
    down_proj_bias: Array | None = None
    activation_function: ActFnType = ActFnType.SiLU
    expert_affinities_scaling_mode: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE
    gate_clamp_upper_limit: float | None = None
    gate_clamp_lower_limit: float | None = None
    up_clamp_upper_limit: float | None = None
    up_clamp_lower_limit: float | None = None
    gate_up_proj_scale: Array | None = None
    down_proj_scale: Array | None = None
    gate_up_in_scale: Array | None = None
    down_in_scale: Array | None = None
    gate_up_hidden_scale: Array | None = None
    down_hidden_scale: Array | None = None
    down_bias_tp_degree: int | None = None
    down_bias_tp_rank: int | None = None
    conditions: Array | None = None
    skip_gate_proj: bool = False
    up_offset: float = 0.0
    skip_token: bool = False
    expert_affinity_multiply_on_I: bool = False
    gate_up_rounding: Rounding = _unrounded
    down_rounding: Rounding = _unrounded

    @property
    def quantises(self) -> bool:
        """Whether the inputs of gate and up are quantised: then affinities multiply the results."""
        return self.gate_up_in_scale is not None or self.gate_up_rounding is not _unrounded

    @property
    def halves(self) -> slice:
        """The projections that are computed."""
        return slice(1 if self.skip_gate_proj else 0, 2)


class _Values(NamedTuple):
    """One block: its tokens and their slots, gate and up before the activation, results before and after scaling."""

    block: int
    slots: Array
    tokens: Array
    gate_up: Floats
    y_unscaled: Floats
    y: Floats


def _blocks(
    hidden: Array,
    affinities: Array,
    gate_up: Array,
    down: Array,
    ids: Array,
    experts: Array,
    B: int,
    layer: LayerOptions,
) -> Iterator[_Values]:
    n_rows, n_experts = len(hidden), len(gate_up)
    experts = experts.reshape(-1)
    ids = _reshape("token_position_to_id", ids, "N, B", (experts.size, B))
    affinities = _reshape("expert_affinities_masked", affinities, "T', E", (n_rows, n_experts))
    is_token = (ids >= 0) & (ids < (n_rows if layer.skip_token else n_rows - 1))
    if layer.conditions is not None:
        is_token[np.flatnonzero(np.append(layer.conditions.reshape(-1), 0) == 0)[0] :] = False
    used_blocks = np.flatnonzero(is_token.any(axis=1))
    if unknown := set(experts[used_blocks].tolist()) - set(range(n_experts)):
        raise ValueError(f"block_to_expert must be 0..{n_experts - 1} in blocks with tokens, got {unknown}")
    for e, run in groupby(used_blocks, key=experts.__getitem__):
        expert = _Expert.of(int(e), gate_up, down, layer)
        for block in run:
            slots = np.flatnonzero(is_token[block])
            tokens = ids[block, slots]
            x, affinity = _float32(hidden[tokens]), _float32(affinities[tokens, e, None])
            scaled = expert.scaled(int(e), tokens, n_rows, layer)
            yield _Values(int(block), slots, tokens, *_mlp(x, affinity, scaled, layer))


class _Matmul(NamedTuple):
    """x @ weight * scale, with x quantised to the dtype `fp8` of scale in_scale, or else rounded by `rounding`."""

    weight: Floats
    scale: Floats
    in_scale: float | None
    fp8: Any
    rounding: Rounding

    def __call__(self, x: Floats) -> Floats:
        if self.in_scale is None:
            return np.tensordot(self.rounding(x), self.weight, axes=1) * self.scale
        largest = float(ml_dtypes.finfo(self.fp8).max)
        factor = np.float32(1) / np.float32(self.in_scale)
        quantised = np.clip(x * factor, -largest, largest).astype(self.fp8).astype(np.float32)
        return np.tensordot(quantised, self.weight, axes=1) * (self.scale * np.float32(self.in_scale))

    @classmethod
    def of(
        cls, e: int, weight: Array, scale: Array | None, part: slice, in_scale: Array | None, rounding: Rounding
    ) -> _Matmul:
        """`part`: which of gate and up, or columns of down."""
        fp8 = ml_dtypes.float8_e4m3fn if weight.dtype == ml_dtypes.float8_e4m3fn else ml_dtypes.float8_e4m3
        values, factor = _float32(weight[e]), np.ones(1, np.float32)
        block = 0 if scale is None else block_of(scale.shape, (1, *values.shape))
        if scale is not None and block:
            values = values * spread_blocks(_float32(scale[e if len(scale) > 1 else 0]), values.shape, block)
        elif scale is not None:
            factor = _of_expert(scale, e).reshape(*values.shape[1:-1], -1)[part]
        return cls(
            values[:, part], factor, None if in_scale is None else float(_of_expert(in_scale, e)[0]), fp8, rounding
        )


class _Expert(NamedTuple):
    """One expert in fp32: gate_up gives [n, 2, I] (1 for 2: up only) and has a bias [2, I], down [n, H] and [H]."""

    gate_up: _Matmul
    gate_up_bias: Floats | float
    down: _Matmul
    down_bias: Floats | float

    @classmethod
    def of(cls, e: int, gate_up: Array, down: Array, layer: LayerOptions) -> _Expert:
        bias, down_bias = layer.gate_and_up_proj_bias, layer.down_proj_bias
        return cls(
            _Matmul.of(
                e, gate_up, layer.gate_up_proj_scale, layer.halves, layer.gate_up_in_scale, layer.gate_up_rounding
            ),
            0.0 if bias is None else _float32(bias[e, layer.halves]),
            _Matmul.of(e, down, layer.down_proj_scale, slice(None), layer.down_in_scale, layer.down_rounding),
            0.0 if down_bias is None else _bias_of_rank(_float32(down_bias[e].reshape(-1)), layer),
        )

    def scaled(self, e: int, tokens: Array, rows: int, layer: LayerOptions) -> _Expert:
        """The expert, its products times the hidden scales of these tokens [n], or its own."""
        gate_up, down = (
            np.ones(1, np.float32)
            if scale is None
            else _float32(scale[tokens if of_tokens(scale, rows) is not None else e])
            for scale in (layer.gate_up_hidden_scale, layer.down_hidden_scale)
        )
        if layer.gate_up_hidden_scale is not None:
            is_of_tokens = of_tokens(layer.gate_up_hidden_scale, rows) is not None
            gate_up = gate_up[:, None] if is_of_tokens else gate_up[layer.halves]
        first, second = self.gate_up, self.down
        return self._replace(
            gate_up=first._replace(scale=first.scale * gate_up), down=second._replace(scale=second.scale * down)
        )


def _bias_of_rank(bias: Floats, layer: LayerOptions) -> Floats:
    """[H], zero beside the columns of the rank."""
    degree, rank = layer.down_bias_tp_degree or 1, layer.down_bias_tp_rank or 0
    return np.pad(bias, (rank * bias.size, (degree - 1 - rank) * bias.size))


def _of_expert(tensor: Array, e: int) -> Floats:
    """The row of an expert, or of all."""
    return _float32(tensor[e if len(tensor) > 1 else 0].reshape(-1))


def _mlp(x: Floats, affinity: Floats, expert: _Expert, layer: LayerOptions) -> tuple[Floats, Floats, Floats]:
    """Gate and up, and the results before and after their affinity, for rows x [n, H] with affinities [n, 1]."""
    mode = ExpertAffinityScaleMode(layer.expert_affinities_scaling_mode)
    if layer.expert_affinity_multiply_on_I:
        mode = ExpertAffinityScaleMode.NO_SCALE
    if mode is ExpertAffinityScaleMode.PRE_SCALE and layer.quantises:
        mode = ExpertAffinityScaleMode.PRE_SCALE_DELAYED
    if mode is ExpertAffinityScaleMode.PRE_SCALE:
        x = x * affinity
    gate_up = expert.gate_up(x)
    if mode is ExpertAffinityScaleMode.PRE_SCALE_DELAYED:
        gate_up = gate_up * affinity[:, None]
    gate_up = _limited(gate_up + expert.gate_up_bias, layer)
    m, bias = _activate(gate_up, layer), expert.down_bias
    if layer.expert_affinity_multiply_on_I:
        m, bias = m * affinity, bias * affinity
    y = expert.down(m) + bias
    return gate_up, y, y * affinity if mode is ExpertAffinityScaleMode.POST_SCALE else y


def _limited(gate_up: Floats, layer: LayerOptions) -> Floats:
    """gate_up [n, 2, I], or up alone [n, 1, I], within the limits."""
    limits = [
        (layer.gate_clamp_lower_limit, layer.gate_clamp_upper_limit),
        (layer.up_clamp_lower_limit, layer.up_clamp_upper_limit),
    ]
    return np.stack([_clamp(gate_up[:, i], *limit) for i, limit in enumerate(limits[layer.halves])], axis=1)


def _activate(gate_up: Floats, layer: LayerOptions) -> Floats:
    """act(gate) * (up + offset); act(up + offset) for up alone."""
    act = ACTIVATIONS[ActFnType(layer.activation_function)].value
    up = gate_up[:, -1] + np.float32(layer.up_offset)
    return act(up) if layer.skip_gate_proj else act(gate_up[:, 0]) * up


def _clamp(x: Floats, lower: float | None, upper: float | None) -> Floats:
    x = x if lower is None else np.maximum(x, lower)
    return x if upper is None else np.minimum(x, upper)


def _float32(x: Array) -> Floats:
    return x.astype(np.float32)


def _reshape(name: str, x: Array, dimensions: str, shape: tuple[int, int]) -> Array:
    if x.size != math.prod(shape):
        raise ValueError(f"{name} must be [{dimensions}] = {list(shape)} in row order, got {x.size} elements")
    return x.reshape(shape)
