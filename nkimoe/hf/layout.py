"""The weights of a transformers experts module in the kernel's order of axes, as views where possible."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nkimoe.errors import RequestError
from nkimoe.pytorch.weights import ExpertWeights

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def parameters_of(module: Any) -> list[Tensor]:
    """Its expert weights and biases, whose change makes packed weights stale."""
    first = "gate_up_proj" if module.has_gate else "up_proj"
    names = [first, "down_proj", *([f"{first}_bias", "down_proj_bias"] if module.has_bias else [])]
    return [getattr(module, name) for name in names]


def weights_of(module: Any) -> ExpertWeights:
    """The experts of `module`, not padded, in its dtype; differentiable.

    The module's flags say how its weights lie: is_transposed [E, H, 2I] or else [E, 2I, H], is_concatenated halves or
    else alternating columns, has_gate, has_bias.

    Raises:
        RequestError: the weights are quantised.
    """
    tensors = parameters_of(module)
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            raise RequestError(
                type(module).__name__, "has weights in a float type", str(tensor.dtype),
                "Load the model dequantised; nkimoe quantises with options(weights='fp8-row').",
            )  # fmt: skip
    first, down, *biases = tensors
    if not module.is_transposed:
        first, down = first.transpose(1, 2), down.transpose(1, 2)
    if biases:
        biases[0] = _split(module, biases[0])
    return ExpertWeights(_split(module, first), down, biases)


def _split(module: Any, columns: Tensor) -> Tensor:
    """[..., 2I] or [..., I] as [..., 2, I], gate first."""
    if not module.has_gate:
        return torch.stack([torch.zeros_like(columns), columns], dim=-2)
    if module.is_concatenated:
        return columns.unflatten(-1, (2, -1))
    return columns.unflatten(-1, (-1, 2)).transpose(-1, -2)
