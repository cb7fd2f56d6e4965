# SPDX-License-Identifier: Apache-2.0
"""The definition of the backward pass of `moe_cte`, in NumPy and float64.

For each slot of block b that holds token t, with expert e, affinity a, x = hidden_states[t], d the gradient of out[t],
and the clamped gate and up projections g, u that the forward pass kept:

    m = act(g) * (u + up_offset)          without a gate: act(u + up_offset)
    d_affinity[t, e] = d . (m Wd[e] + bd[e]) = m . (Wd[e] d) + bd[e] . d
    dWd[e] += m^T (a d)                   dbd[e] += a d
    dm = Wd[e] (a d)
    dg, du = dm * (u + up_offset) * act'(g), dm * act(g)      zero where a limit was reached
    dWgu[e] += x^T [dg, du]               dbgu[e] += [dg, du]
    dx[t] += Wgu[e] [dg, du]

A limit counts as reached where g or u equals the limit as the type of the activations stores it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nkimoe.arrays import Array, Doubles
from nkimoe.reference.activations import ACTIVATIONS
from nkimoe.spec import ActFnType


class Gradients(NamedTuple):
    """Shapes as of what they are gradients of; None where there is no such bias."""

    hidden_states: Doubles
    affinities: Doubles
    gate_up: Doubles
    down: Doubles
    gate_up_bias: Doubles | None
    down_bias: Doubles | None


class _Gate(NamedTuple):
    """The options between the projections, named as in `moe_cte`."""

    activation_function: ActFnType = ActFnType.SiLU
    gate_clamp_upper_limit: float | None = None
    gate_clamp_lower_limit: float | None = None
    up_clamp_upper_limit: float | None = None
    up_clamp_lower_limit: float | None = None
    up_offset: float = 0.0
    skip_gate_proj: bool = False

    def forward(self, gate_up: Doubles) -> Doubles:
        """[n, I] from [n, 2, I]."""
        act, up = ACTIVATIONS[self.activation_function].value, gate_up[:, 1] + self.up_offset
        return _double(act(up) if self.skip_gate_proj else act(gate_up[:, 0]) * up)

    def backward(self, d: Doubles, gate_up: Doubles, dtype: Any) -> Doubles:
        """[n, 2, I] from [n, I], for activations that were stored as `dtype`."""
        act, slope = ACTIVATIONS[self.activation_function]
        gate, up = gate_up[:, 0], gate_up[:, 1] + self.up_offset
        if self.skip_gate_proj:
            d_gate, d_up = np.zeros_like(d), d * slope(up)
        else:
            d_gate, d_up = d * up * slope(gate), d * act(gate)
        limits = (self.gate_clamp_lower_limit, self.gate_clamp_upper_limit)
        d_gate = d_gate * _is_within(gate, limits, dtype)
        limits = (self.up_clamp_lower_limit, self.up_clamp_upper_limit)
        return np.stack([d_gate, d_up * _is_within(gate_up[:, 1], limits, dtype)], axis=1)


def moe_cte_backward_reference(
    hidden_states: Array, expert_affinities_masked: Array, gate_up_proj_weight: Array, down_proj_weight: Array,
    gate_up_activations_T: Array, token_position_to_id: Array, block_to_expert: Array, output_hidden_states_grad: Array,
    block_size: int, *, gate_and_up_proj_bias: Array | None = None, down_proj_bias: Array | None = None,
    skip_token: bool = False, **options: Any,
) -> Gradients:  # fmt: skip
    """The gradients, float64. Arguments as of `nkimoe.moe_cte_backward`; options: those of the gate."""
    gate, n_blocks = _Gate(**options), block_to_expert.size
    E, n_tokens = len(down_proj_weight), len(hidden_states) - (not skip_token)
    ids, experts = token_position_to_id.reshape(n_blocks, block_size), block_to_expert.reshape(-1)
    affinities = _double(expert_affinities_masked).reshape(-1, E)
    like = (hidden_states, affinities, gate_up_proj_weight, down_proj_weight, gate_and_up_proj_bias, down_proj_bias)
    zeros: list[Any] = [None if tensor is None else np.zeros(tensor.shape) for tensor in like]
    grads = Gradients(*zeros)
    for block, e in enumerate(experts):
        slots = np.flatnonzero((ids[block] >= 0) & (ids[block] < n_tokens))
        if not slots.size:
            continue
        tokens = ids[block, slots]
        x, d = _double(hidden_states[tokens]), _double(output_hidden_states_grad[tokens])
        first = _double(np.moveaxis(gate_up_activations_T[block][..., slots], 2, 0))
        down, m = _double(down_proj_weight[e]), gate.forward(first)
        y = m @ down
        if grads.down_bias is not None and down_proj_bias is not None:
            y = y + _double(down_proj_bias[e]).reshape(-1)
        grads.affinities[tokens, e] = (d * y).sum(axis=1)
        weighted = d * affinities[tokens, e, None]
        d_first = gate.backward(weighted @ down.T, first, gate_up_activations_T.dtype)
        np.add.at(grads.hidden_states, tokens, np.tensordot(d_first, _double(gate_up_proj_weight[e]), ((1, 2), (1, 2))))
        grads.gate_up[e] += np.tensordot(x, d_first, (0, 0))
        grads.down[e] += m.T @ weighted
        if grads.gate_up_bias is not None:
            grads.gate_up_bias[e] += d_first.sum(axis=0)
        if grads.down_bias is not None:
            grads.down_bias[e] += weighted.sum(axis=0).reshape(grads.down_bias[e].shape)
    return grads._replace(affinities=grads.affinities.reshape(expert_affinities_masked.shape))


def _is_within(x: Doubles, limits: tuple[float | None, float | None], dtype: Any) -> Doubles:
    lower, upper = (None if limit is None else float(np.asarray(limit).astype(dtype)) for limit in limits)
    inside = np.ones(x.shape, bool) if lower is None else x > lower
    return (inside if upper is None else inside & (x < upper)).astype(x.dtype)


def _double(x: Array) -> Doubles:
    return x.astype(np.float64)
