"""`torch.ops.nkimoe.moe_cte`: the kernel as a torch operator, with a fake kernel for tracing.

Tensors are in the kernel's layouts (see `nkimoe.moe_cte`), all else is the text of a `Call`, so that a graph can hold
it. `nkimoe.pytorch.moe_experts` is the comfortable door.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nkimoe.pytorch.backward import backward, setup_context
from nkimoe.pytorch.call import Call
from nkimoe.pytorch.launch import launch_moe_cte

BLOCKS = ("token_position_to_id", "block_to_expert", "conditions")
BIASES = ("gate_and_up_proj_bias", "down_proj_bias")
SCALES = ("gate_up_proj_scale", "down_proj_scale")


@torch.library.custom_op("nkimoe::moe_cte", mutates_args=())
def moe_cte_operator(
    hidden_states: Tensor, affinities: Tensor, gate_up: Tensor, down: Tensor,
    biases: list[Tensor], scales: list[Tensor], blocks: list[Tensor], call: str,
) -> Tensor:  # fmt: skip
    """[T, H] of the dtype of hidden_states [T, H]; pads have id -1.

    biases and scales: of gate/up and of down, or empty. blocks: token_position_to_id, block_to_expert, conditions.

    Raises:
        RequestError, InputError: as `nkimoe.moe_cte`.
    """
    tensors = {
        "hidden_states": hidden_states,
        "expert_affinities_masked": affinities,
        "gate_up_proj_weight": gate_up,
        "down_proj_weight": down,
        **dict(zip(BLOCKS, blocks, strict=True)),
        **dict(zip(BIASES, biases, strict=bool(biases))),
        **dict(zip(SCALES, scales, strict=bool(scales))),
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return launch_moe_cte(Call.from_text(call), contiguous)


@moe_cte_operator.register_fake
def _(hidden_states: Tensor, *arguments: object) -> Tensor:
    return torch.empty_like(hidden_states)


moe_cte_operator.register_autograd(backward, setup_context=setup_context)
