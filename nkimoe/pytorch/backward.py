"""The backward pass of `nkimoe::moe_cte`. **Computed in torch, not by an NKI kernel**: there is none yet.

It recomputes each expert's forward in float32 from the saved inputs. On a Neuron device it therefore runs as ordinary
torch operations. For the rows x [n, H] of one expert, with affinity a, m = gate(x @ Wgu + bgu), y = m @ Wd + bd and
d the gradient of the rows' output a * y:

    da = sum(d * y)    dWd = m.T @ (a * d)    dbd = sum(a * d)    dm = (a * d) @ Wd.T
    dgu = gate'(dm)    dWgu = x.T @ dgu       dbgu = sum(dgu)     dx = dgu @ Wgu.T
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nkimoe.errors import RequestError
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.gate_in_torch import apply_gate, gate_backward


@torch.library.custom_op("nkimoe::moe_cte_backward_in_torch", mutates_args=())
def backward_in_torch(
    d_output: Tensor, hidden_states: Tensor, affinities: Tensor, gate_up: Tensor, down: Tensor,
    biases: list[Tensor], blocks: list[Tensor], call: str,
) -> list[Tensor]:  # fmt: skip
    """Gradients of hidden_states, affinities, gate_up, down and biases, each in the dtype of its tensor."""
    differentiable = [hidden_states, affinities, gate_up, down, *biases]
    grads = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in differentiable]
    slots = blocks[0].reshape(len(blocks[1]), -1).long()
    gate, E = Call.from_text(call).gate, len(down)
    for e in range(E):
        tokens = slots[blocks[1] == e].reshape(-1)
        tokens = tokens[tokens >= 0]
        if len(tokens) == 0:
            continue
        rows = tokens * E + e
        parts = [hidden_states[tokens], affinities.reshape(-1)[rows], *(t[e] for t in differentiable[2:])]
        d_x, d_affinity, *d_weights = _one_expert(gate, d_output[tokens].float(), *(part.float() for part in parts))
        grads[0].index_add_(0, tokens, d_x)
        grads[1].view(-1)[rows] += d_affinity
        for grad, d_weight in zip(grads[2:], d_weights, strict=True):
            grad[e] = d_weight
    return [grad.to(tensor.dtype) for grad, tensor in zip(grads, differentiable, strict=True)]


def _one_expert(
    gate: Gate, d: Tensor, x: Tensor, affinity: Tensor, gate_up: Tensor, down: Tensor, *biases: Tensor
) -> list[Tensor]:
    """Gradients of x, affinity, gate_up, down and biases; all float32."""
    first = torch.einsum("nh,hci->nci", x, gate_up)
    first = first + biases[0] if biases else first
    m = apply_gate(gate, first)
    y = m @ down + biases[1] if biases else m @ down
    weighted = d * affinity[:, None]
    d_first = gate_backward(gate, weighted @ down.T, first)
    return [
        torch.einsum("nci,hci->nh", d_first, gate_up),
        (d * y).sum(dim=1),
        torch.einsum("nh,nci->hci", x, d_first),
        m.T @ weighted,
        *([d_first.sum(dim=0), weighted.sum(dim=0)] if biases else []),
    ]


@backward_in_torch.register_fake
def _(
    d_output: Tensor, hidden_states: Tensor, affinities: Tensor, gate_up: Tensor, down: Tensor,
    biases: list[Tensor], blocks: list[Tensor], call: str,
) -> list[Tensor]:  # fmt: skip
    return [torch.empty_like(tensor) for tensor in (hidden_states, affinities, gate_up, down, *biases)]


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the backward pass needs: the inputs."""
    hidden_states, affinities, gate_up, down, biases, scales, blocks, call = inputs
    ctx.save_for_backward(hidden_states, affinities, gate_up, down, *biases, *blocks)
    ctx.n_biases, ctx.n_scales, ctx.n_blocks, ctx.call = len(biases), len(scales), len(blocks), call


def backward(ctx: Any, d_output: Tensor) -> tuple[Any, ...]:
    """Gradients in the order of the operator's inputs.

    Raises:
        RequestError: the weights are quantised.
    """
    if ctx.n_scales:
        raise RequestError("weights", "is 'plain' when training", "quantised weights", "Use torch.no_grad().")
    hidden_states, affinities, gate_up, down, *rest = ctx.saved_tensors
    biases, blocks = rest[: ctx.n_biases], rest[ctx.n_biases :]
    grads = torch.ops.nkimoe.moe_cte_backward_in_torch(
        d_output, hidden_states, affinities, gate_up, down, biases, blocks, ctx.call
    )
    return (*grads[:4], grads[4:], [], [None] * ctx.n_blocks, None)
