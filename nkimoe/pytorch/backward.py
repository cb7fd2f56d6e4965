# SPDX-License-Identifier: Apache-2.0
"""The backward pass of `nkimoe::moe_cte`: `torch.ops.nkimoe.moe_cte_backward`, one launch of `nkimoe.moe_cte_backward`.

It takes the tensors of the forward pass and the gate and up activations that this one kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nkimoe.errors import RequestError
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.launch import WEIGHTS, launch_moe_cte_backward
from nkimoe.pytorch.neuron import operator

BIASES = ("gate_and_up_proj_bias", "down_proj_bias")


@operator("nkimoe::moe_cte_backward")
def moe_cte_backward_operator(
    d_output: Tensor, hidden_states: Tensor, affinities: Tensor, weights: list[Tensor], blocks: list[Tensor],
    activations: Tensor, call: str,
) -> list[Tensor]:  # fmt: skip
    """Gradients of hidden_states, affinities and weights, each like its tensor.

    weights: gate_up, down, and their biases if there are any. blocks: token_position_to_id with pads of -1,
    block_to_expert. activations: [N, 2, I, B].

    Raises:
        RequestError, InputError: as `nkimoe.moe_cte_backward`.
    """
    tensors = {
        "hidden_states": hidden_states,
        "expert_affinities_masked": affinities,
        "token_position_to_id": blocks[0],
        "block_to_expert": blocks[1],
        "gate_up_activations_T": activations,
        "output_hidden_states_grad": d_output,
        **dict(zip(WEIGHTS, weights[:2], strict=True)),
        **dict(zip(BIASES, weights[2:], strict=len(weights) > 2)),
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return launch_moe_cte_backward(Call.from_text(call), contiguous)


@moe_cte_backward_operator.register_fake
def _(
    d_output: Tensor, hidden_states: Tensor, affinities: Tensor, weights: list[Tensor], *arguments: object
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (hidden_states, affinities, *weights)]


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward pass needs: the inputs, and the activations."""
    hidden_states, affinities, gate_up, down, biases, scales, blocks, call = inputs
    ctx.save_for_backward(hidden_states, affinities, gate_up, down, output[1], *biases, *blocks)
    ctx.n_biases, ctx.n_scales, ctx.n_blocks, ctx.call = len(biases), len(scales), len(blocks), call


def backward(ctx: Any, d_output: Tensor, _: Tensor) -> tuple[Any, ...]:
    """Gradients in the order of the operator's inputs.

    Raises:
        RequestError: the weights are quantised.
    """
    if ctx.n_scales:
        raise RequestError("weights", "is 'plain' when training", "quantised weights", "Use torch.no_grad().")
    hidden_states, affinities, gate_up, down, activations, *rest = ctx.saved_tensors
    weights, blocks = [gate_up, down, *rest[: ctx.n_biases]], rest[ctx.n_biases :]
    grads = torch.ops.nkimoe.moe_cte_backward(
        d_output, hidden_states, affinities, weights, blocks[:2], activations, ctx.call
    )
    return (*grads[:4], grads[4:], [], [None] * ctx.n_blocks, None)
