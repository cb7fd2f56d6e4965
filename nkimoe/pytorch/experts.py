# SPDX-License-Identifier: Apache-2.0
"""The experts of one layer, called with what a router gives: `moe_experts(hidden, ids, weights, experts)`."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from nkimoe.errors import require
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.variants import DROPPING, VARIANTS
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.choice import BIASES, SCALES, WEIGHTS, block_size_of
from nkimoe.pytorch.gate import SILU, Gate
from nkimoe.pytorch.mapping import build_blocks, build_pair_blocks, merge_repeated, scatter_weights
from nkimoe.pytorch.operator import call_moe_cte, is_followed
from nkimoe.pytorch.options import AUTO, Options, current_options
from nkimoe.pytorch.weights import ExpertWeights
from nkimoe.spec import MoECTEImplementation

USUAL_BLOCK = 128  # slots, where how many pairs are here is a matter of values
SIXTEEN_BITS = (torch.bfloat16, torch.float16)


def compute_dtype(tensor: Tensor, options: Options) -> torch.dtype:
    """What the kernel computes in: the tensor's own dtype if it has 16 bits, else the one the options name."""
    named: torch.dtype = getattr(torch, options.dtype)
    return tensor.dtype if tensor.dtype in SIXTEEN_BITS else named


def moe_experts(
    hidden_states: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: ExpertWeights, gate: Gate = SILU,
    is_complete: bool = False, ep_degree: int = 1,
) -> Tensor:  # fmt: skip
    """Sum over each token's experts, weighted: [T, H], dtype of hidden_states.

    hidden_states [T, H]; expert_ids [T, K] integers, of which those outside 0..E-1 are ignored; expert_weights [T, K];
    experts: prepared for the options in force. Sizes the kernel does not take are padded, float32 is computed in 16
    bits. Differentiable in hidden_states, expert_weights and plain experts.

    is_complete: a promise that each token lists K different experts of these, as a router does where all experts are
    here. Then, without gradients, each choice has a row of its own, which takes less time and rounds less.
    ep_degree: of how many ranks the experts are that a token chose, where ids list all tokens of all ranks: an estimate
    of how many pairs are here, for time and roundings alone. 1: each token has an expert here.

    Raises:
        RequestError, InputError: as `nkimoe.moe_cte`.
    """
    _check(hidden_states, expert_ids, expert_weights, experts)
    followed = is_followed((hidden_states, expert_weights, experts.gate_up, experts.down, *experts.biases))
    if is_complete and expert_ids.shape[1] > 1 and not followed:
        return _call_with_pairs(hidden_states, expert_ids, expert_weights, experts, gate)
    top_k = expert_ids.shape[1]
    asked = Call(
        current_options(), gate, top_k > 1, exact_rows=experts.exact_rows,
        top_k=top_k if ep_degree > 1 else 1, ep_degree=ep_degree,
    )  # fmt: skip
    return _call(hidden_states, expert_ids, expert_weights, experts, asked)


def expert_outputs(hidden_states: Tensor, expert_ids: Tensor, experts: ExpertWeights, gate: Gate = SILU) -> Tensor:
    """Every expert's own output, unweighted: [T, K, H], for layers that do something to it before adding up.

    Pairs with an id outside 0..E-1 are zero.
    """
    _check(hidden_states, expert_ids, expert_ids, experts)
    n_tokens, top_k = expert_ids.shape
    rows = hidden_states.repeat_interleave(top_k, dim=0)
    ones = torch.ones_like(rows[:, :1])
    asked = Call(current_options(), gate, accumulate=False, exact_rows=experts.exact_rows)
    return _call(rows, expert_ids.reshape(-1, 1), ones, experts, asked).reshape(n_tokens, top_k, -1)


def _call(hidden_states: Tensor, expert_ids: Tensor, weights: Tensor, experts: ExpertWeights, asked: Call) -> Tensor:
    if expert_ids.numel() == 0:
        return torch.zeros_like(hidden_states)
    options, size = _sized(asked.options, USUAL_BLOCK)
    dtype, E = compute_dtype(hidden_states, options), experts.n_experts
    ids, weights = merge_repeated(expert_ids, weights, E)
    blocks = build_blocks(ids, E, size)
    affinities = scatter_weights(ids, weights, E).to(dtype)
    return _launch(hidden_states, affinities, experts, [*blocks], replace(asked, options=options))


def _call_with_pairs(hidden_states: Tensor, ids: Tensor, weights: Tensor, experts: ExpertWeights, gate: Gate) -> Tensor:
    if ids.numel() == 0:
        return torch.zeros_like(hidden_states)
    asked = Call(current_options(), gate, accumulate=True, exact_rows=experts.exact_rows, choices=ids.shape[1])
    options, size = _sized(current_options(), _suited_size(hidden_states, ids, experts, asked))
    slots = build_pair_blocks(ids, weights, experts.n_experts, size)
    call = replace(asked, options=options)
    return _launch(hidden_states, slots.weights, experts, [*slots.blocks, slots.positions], call)


def _suited_size(hidden_states: Tensor, ids: Tensor, experts: ExpertWeights, call: Call) -> int:
    """Slots of a block, where options name none. A graph does not choose: it may run with other numbers of tokens."""
    if torch.compiler.is_compiling() or call.options.block_size is not None:
        return block_size_for(ids.numel(), experts.n_experts)
    named = dict(zip((*WEIGHTS, *BIASES), (experts.gate_up, experts.down, *experts.biases), strict=False))
    named |= dict(zip(SCALES, experts.scales, strict=False))
    return block_size_of(call, len(hidden_states), compute_dtype(hidden_states, call.options), named)


def _sized(options: Options, otherwise: int) -> tuple[Options, int]:
    """The options with a block size, and that: `otherwise` if they name none."""
    size = int(options.block_size or otherwise)
    return replace(options, block_size=size), size


def _launch(x: Tensor, affinities: Tensor, experts: ExpertWeights, blocks: list[Tensor], call: Call) -> Tensor:
    """The kernel on rows as wide as it takes; [T, H], dtype of x."""
    rows = pad(x, (0, experts.down.shape[-1] - x.shape[1])).to(compute_dtype(x, call.options))
    tensors = [rows, affinities, experts.gate_up, experts.down]
    return call_moe_cte(tensors, experts.biases, experts.scales, blocks, call)[:, : x.shape[1]].to(x.dtype)


def _check(hidden_states: Tensor, ids: Tensor, weights: Tensor, experts: ExpertWeights) -> None:
    """What padding and broadcasting would hide from `moe_cte`."""
    shape, routed = tuple(hidden_states.shape), tuple(ids.shape)
    require(len(shape) == 2, "hidden_states", "is [T, H]", shape, "Flatten batch and sequence into T.")
    rule, fix = f"is [{shape[0]}, K]", "Pass what the router gave for these tokens."
    require(len(routed) == 2 and routed[0] == shape[0], "expert_ids", rule, routed, fix)
    rule = f"has the shape of expert_ids, {routed}"
    require(tuple(weights.shape) == routed, "expert_weights", rule, tuple(weights.shape), fix)
    require(not (ids.is_floating_point() or ids.is_complex()), "expert_ids", "is integers", ids.dtype, "Cast it.")
    rule = f"has the H of the experts, {experts.H}"
    require(shape[1] == experts.H, "hidden_states", rule, shape[1], "Pass this layer's input.")
    variant = current_options().variant
    require(
        variant == AUTO or VARIANTS[MoECTEImplementation[variant]].schedule != DROPPING, "variant",
        "drops no token in a layer that is called with a router's ids", repr(variant),
        "Use shard_on_i; a mapping with capacities goes to nkimoe.moe_cte or nkimoe.pytorch.blockwise_matmul.",
    )  # fmt: skip
