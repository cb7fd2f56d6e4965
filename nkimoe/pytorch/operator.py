# SPDX-License-Identifier: Apache-2.0
"""`torch.ops.nkimoe.moe_cte`: the kernel as a torch operator, with a fake kernel for tracing.

Tensors are in the kernel's layouts (see `nkimoe.moe_cte`), all else is the text of a `Call`, so that a graph can hold
it. `nkimoe.pytorch.moe_experts` is the comfortable door.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from nkimoe.pytorch.backward import BIASES, backward, setup_context
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.launch import AFFINITIES, POSITIONS, WEIGHTS_OF_SLOTS, launch_moe_cte
from nkimoe.pytorch.neuron import operator

BLOCKS = ("token_position_to_id", "block_to_expert", "conditions")
SCALES = ("gate_up_proj_scale", "down_proj_scale")


@operator("nkimoe::moe_cte")
def moe_cte_operator(
    hidden_states: Tensor, affinities: Tensor, gate_up: Tensor, down: Tensor,
    biases: list[Tensor], scales: list[Tensor], blocks: list[Tensor], call: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """[T, H] of the dtype of hidden_states [T, H]; and [N, 2, I, B], or nothing if the call keeps no activations.

    Pads have id -1. biases and scales: of gate/up and of down, or empty. blocks: token_position_to_id, block_to_expert,
    conditions, and where slots hold pairs their positions; affinities then are those of slots, fp32 [N * B].

    Raises:
        RequestError, InputError: as `nkimoe.moe_cte`.
    """
    tensors = {
        "hidden_states": hidden_states,
        AFFINITIES if len(blocks) == len(BLOCKS) else WEIGHTS_OF_SLOTS: affinities,
        "gate_up_proj_weight": gate_up,
        "down_proj_weight": down,
        **dict(zip((*BLOCKS, POSITIONS), blocks, strict=False)),
        **dict(zip(BIASES, biases, strict=bool(biases))),
        **dict(zip(SCALES, scales, strict=bool(scales))),
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return launch_moe_cte(Call.from_text(call), contiguous)


@moe_cte_operator.register_fake
def _(
    hidden_states: Tensor, affinities: Tensor, gate_up: Tensor, down: Tensor,
    biases: list[Tensor], scales: list[Tensor], blocks: list[Tensor], call: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    slots, experts = blocks[0].numel(), blocks[1].numel()
    shape = (experts, 2, down.shape[1], slots // experts) if Call.from_text(call).keeps else (0,)
    return torch.empty_like(hidden_states), hidden_states.new_empty(shape)


moe_cte_operator.register_autograd(backward, setup_context=setup_context)


def is_followed(tensors: Iterable[Tensor]) -> bool:
    """Whether autograd follows one of the tensors."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def call_moe_cte(tensors: list[Tensor], biases: list[Tensor], scales: list[Tensor], blocks: list[Tensor],
                 call: Call) -> Tensor:  # fmt: skip
    """The output alone; activations are kept if autograd follows one of the tensors.

    Quantised weights are not trained: a graph that leads through them fails when it is followed back.
    """
    text = replace(call, keeps=is_followed((*tensors, *biases)) and not scales).to_text()
    output: Tensor = moe_cte_operator(*tensors, biases, scales, blocks, text)[0]
    return output
