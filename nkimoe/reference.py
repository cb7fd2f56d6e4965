"""The definition of the operation: the blockwise Mixture-of-Experts MLP in NumPy, all in fp32.

For each slot of block b, with expert e = block_to_expert[b], token t = token_position_to_id[slot] and
affinity a = affinities[t * E + e]:

    g = x[t] @ Wg[e] + bg[e]          PRE_SCALE: (x[t] * a) @ Wg[e];  PRE_SCALE_DELAYED: (x[t] @ Wg[e]) * a
    u = x[t] @ Wu[e] + bu[e]          likewise
    m = act(clamp(g)) * clamp(u)      without a gate: act(clamp(u))
    y = m @ Wd[e] + bd[e]             POST_SCALE: (m @ Wd[e] + bd[e]) * a
    out[t] += y                       not accumulating: out[t] = y, in block order
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nkimoe.spec import ActFnType, ExpertAffinityScaleMode

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Activation = Callable[..., Floats]
Limits = tuple[float | None, float | None]
_erfc = np.frompyfunc(math.erfc, 1, 1)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow and with full relative accuracy in the left tail."""
    result: Floats = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return result


# GELU: erfc(-z) = 1 + erf(z); tanh GELU: 2 * sigmoid(2z) = 1 + tanh(z). The left tails do not cancel.
ACTIVATIONS: dict[ActFnType, Activation] = {
    ActFnType.SiLU: lambda x: x * sigmoid(x),
    ActFnType.GELU: lambda x: x / 2 * _erfc(x * -math.sqrt(0.5)).astype(np.float32),
    ActFnType.GELU_Tanh_Approx: lambda x: x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x)),
    ActFnType.Swish: lambda x: x * sigmoid(1.702 * x),
    ActFnType.ReLU: lambda x: np.maximum(x, 0),
    ActFnType.SquaredReLU: lambda x: np.square(np.maximum(x, 0)),
}


def moe_cte_reference(
    hidden_states: Array, expert_affinities_masked: Array,
    gate_up_proj_weight: Array, down_proj_weight: Array,
    token_position_to_id: Array, block_to_expert: Array, block_size: int, *,
    gate_and_up_proj_bias: Array | None = None, down_proj_bias: Array | None = None,
    activation_function: ActFnType = ActFnType.SiLU, is_tensor_update_accumulating: bool = True,
    expert_affinities_scaling_mode: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE,
    gate_clamp_upper_limit: float | None = None, gate_clamp_lower_limit: float | None = None,
    up_clamp_upper_limit: float | None = None, up_clamp_lower_limit: float | None = None,
    skip_gate_proj: bool = False, skip_token: bool = False,
) -> Floats:  # fmt: skip
    """Return the output, float32 [T', H] with T' = hidden_states.shape[0]; a row that no slot names is zero.

    hidden_states [T', H], expert_affinities_masked [T' * E, 1], gate_up_proj_weight [E, H, 2, I] gate first,
    down_proj_weight [E, I, H], gate_and_up_proj_bias [E, 2, I], down_proj_bias [E, H] or [E, 1, H]: any float
    dtype, already dequantised. token_position_to_id [N * B], block_to_expert [N] or [N, 1]: integers.

    Tokens are rows 0..T'-1 with skip_token, else 0..T'-2 (the last row is the pad row); a slot with any other
    id is padding. skip_gate_proj leaves the gate half of weights, bias and limits unused. 0.0 is a limit.
    Raises ValueError when affinities, ids and blocks disagree in size, or a used block's expert is unknown.
    """
    n_rows, n_experts = len(hidden_states), len(gate_up_proj_weight)
    experts, mode = block_to_expert.reshape(-1), ExpertAffinityScaleMode(expert_affinities_scaling_mode)
    ids = _reshape("token_position_to_id", token_position_to_id, "N, B", (experts.size, block_size))
    affinities = _reshape("expert_affinities_masked", expert_affinities_masked, "T', E", (n_rows, n_experts))
    is_token = (ids >= 0) & (ids < (n_rows if skip_token else n_rows - 1))
    used_blocks = np.flatnonzero(is_token.any(axis=1))
    if unknown := set(experts[used_blocks].tolist()) - set(range(n_experts)):
        raise ValueError(f"block_to_expert must be 0..{n_experts - 1} in blocks with tokens, got {unknown}")
    activate = partial(
        _activate, ACTIVATIONS[ActFnType(activation_function)],
        gate_limits=(gate_clamp_lower_limit, gate_clamp_upper_limit),
        up_limits=(up_clamp_lower_limit, up_clamp_upper_limit),
    )  # fmt: skip
    halves = slice(1 if skip_gate_proj else 0, 2)
    output = np.zeros(hidden_states.shape, np.float32)
    for e, run in groupby(used_blocks, key=experts.__getitem__):
        weights = _Expert(
            _float32(gate_up_proj_weight[e, :, halves]),
            0.0 if gate_and_up_proj_bias is None else _float32(gate_and_up_proj_bias[e, halves]),
            _float32(down_proj_weight[e]),
            0.0 if down_proj_bias is None else _float32(down_proj_bias[e].reshape(-1)),
        )
        for block in run:
            tokens = ids[block, is_token[block]]
            x, affinity = _float32(hidden_states[tokens]), _float32(affinities[tokens, e, None])
            y = _mlp(x, affinity, weights, mode, activate)
            if is_tensor_update_accumulating:
                np.add.at(output, tokens, y)
            else:
                output[tokens] = y
    return output


class _Expert(NamedTuple):
    """One expert in fp32: gate_up [H, 2, I] and bias [2, I] (1 for 2: up only), down [I, H] and bias [H]."""

    gate_up: Floats
    gate_up_bias: Floats | float
    down: Floats
    down_bias: Floats | float


def _mlp(x: Floats, affinity: Floats, expert: _Expert, mode: ExpertAffinityScaleMode, activate: Activation) -> Floats:
    """The expert's output [n, H] for rows x [n, H] with affinities [n, 1]."""
    if mode is ExpertAffinityScaleMode.PRE_SCALE:
        x = x * affinity
    gate_up = np.tensordot(x, expert.gate_up, axes=1)
    if mode is ExpertAffinityScaleMode.PRE_SCALE_DELAYED:
        gate_up = gate_up * affinity[:, None]
    y = activate(gate_up + expert.gate_up_bias) @ expert.down + expert.down_bias
    return y * affinity if mode is ExpertAffinityScaleMode.POST_SCALE else y


def _activate(act: Activation, gate_up: Floats, gate_limits: Limits, up_limits: Limits) -> Floats:
    """act(clamp(gate)) * clamp(up) for gate_up [n, 2, I]; act(clamp(up)) for up alone, [n, 1, I]."""
    up = _clamp(gate_up[:, -1], *up_limits)
    return act(up) if gate_up.shape[1] == 1 else act(_clamp(gate_up[:, 0], *gate_limits)) * up


def _clamp(x: Floats, lower: float | None, upper: float | None) -> Floats:
    x = x if lower is None else np.maximum(x, lower)
    return x if upper is None else np.minimum(x, upper)


def _float32(x: Array) -> Floats:
    return x.astype(np.float32)


def _reshape(name: str, x: Array, dimensions: str, shape: tuple[int, int]) -> Array:
    if x.size != math.prod(shape):
        raise ValueError(f"{name} must be [{dimensions}] = {list(shape)} in row order, got {x.size} elements")
    return x.reshape(shape)
