"""`torch.ops.nkimoe.moe_cte`: the kernel as a torch operator, with a fake kernel for tracing.

Tensors are in the kernel's layouts (see `nkimoe.moe_cte`), options are numbers and names, so that a graph can hold
them. `nkimoe.pytorch.experts` is the comfortable door.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.launch import launch_moe_cte


@torch.library.custom_op("nkimoe::moe_cte", mutates_args=())
def moe_cte_operator(
    hidden_states: Tensor, expert_affinities_masked: Tensor, gate_up_proj_weight: Tensor, down_proj_weight: Tensor,
    token_position_to_id: Tensor, block_to_expert: Tensor, conditions: Tensor,
    gate_and_up_proj_bias: Tensor | None, down_proj_bias: Tensor | None,
    gate_up_proj_scale: Tensor | None, down_proj_scale: Tensor | None,
    block_size: int, accumulate: bool, variant: str, target: str, cores: int,
    activation: str, gate_upper: float | None, gate_lower: float | None, up_upper: float | None,
    up_lower: float | None, up_offset: float, has_gate: bool,
) -> Tensor:  # fmt: skip
    """[T, H] of the dtype of hidden_states [T, H]; pads have id -1.

    Raises:
        RequestError, InputError: as `nkimoe.moe_cte`.
    """
    gate = Gate(activation, gate_upper, gate_lower, up_upper, up_lower, up_offset, has_gate)
    tensors = {
        "hidden_states": hidden_states,
        "expert_affinities_masked": expert_affinities_masked,
        "gate_up_proj_weight": gate_up_proj_weight,
        "down_proj_weight": down_proj_weight,
        "token_position_to_id": token_position_to_id,
        "block_to_expert": block_to_expert,
        "conditions": conditions,
        "gate_and_up_proj_bias": gate_and_up_proj_bias,
        "down_proj_bias": down_proj_bias,
        "gate_up_proj_scale": gate_up_proj_scale,
        "down_proj_scale": down_proj_scale,
    }
    contiguous = {name: t if t is None else t.contiguous() for name, t in tensors.items()}
    return launch_moe_cte(
        variant, target, cores, contiguous, block_size=block_size, is_tensor_update_accumulating=accumulate,
        **gate.arguments(),
    )  # fmt: skip


@moe_cte_operator.register_fake
def _(hidden_states: Tensor, *arguments: object) -> Tensor:
    return torch.empty_like(hidden_states)
