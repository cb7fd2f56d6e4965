# SPDX-License-Identifier: Apache-2.0
"""The weights of a transformers experts module in the kernel's order of axes, as views where possible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nkimoe.errors import RequestError, require
from nkimoe.pytorch.weights import ExpertWeights
from nkimoe.spec import EXACT_ROWS, INT8_PER_TOKEN
from nkimoe.weights.fp8_blocks import SIZE

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
FP8 = torch.float8_e4m3fn
ACTIVATIONS = "activation_quantization"  # an attribute of modules in int8, as of `moe_cte`


def parameters_of(module: Any) -> list[Tensor]:
    """Its expert weights, biases and, in int8 and fp8, scales, whose change makes packed weights stale."""
    first = "gate_up_proj" if module.has_gate else "up_proj"
    names = [first, "down_proj", *([f"{first}_bias", "down_proj_bias"] if module.has_bias else [])]
    if is_int8(module):
        names += [f"{first}_scale", "down_proj_scale"]
    if is_fp8(module):
        names += [f"{first}_scale_inv", "down_proj_scale_inv"]
    return [getattr(module, name) for name in names]


def is_int8(module: Any) -> bool:
    """Whether its experts are codes, with a scale an output column."""
    return module.down_proj.dtype == torch.int8


def is_fp8(module: Any) -> bool:
    """Whether its experts are e4m3, with a scale for 128 x 128: transformers' FP8Experts."""
    return module.down_proj.dtype == FP8


def weights_of(module: Any) -> ExpertWeights:
    """The experts of `module`, not padded, in its dtype; differentiable.

    The module's flags say how its weights lie: is_transposed [E, H, 2I] or else [E, 2I, H], is_concatenated halves or
    else alternating columns, has_gate, has_bias. Beside int8 weights lie gate_up_proj_scale [E, 2I], in the order of
    the columns, and down_proj_scale [E, H], and activation_quantization says what `moe_cte` does to activations. Beside
    fp8 weights lie gate_up_proj_scale_inv and down_proj_scale_inv, a number a block; activations stay as they are.

    Raises:
        RequestError: the weights are quantised in another way, or nothing says whether activations are.
    """
    if is_int8(module):
        return _int8_weights_of(module)
    if is_fp8(module):
        return _fp8_weights_of(module)
    tensors = parameters_of(module)
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            raise RequestError(
                type(module).__name__, "has weights in a float type", str(tensor.dtype),
                "Load the model dequantised; nkimoe quantises with options(weights='fp8-row').",
            )  # fmt: skip
    return _arranged(module, tensors)


def _int8_weights_of(module: Any) -> ExpertWeights:
    given = getattr(module, ACTIVATIONS, "nothing")
    require(
        given in (None, INT8_PER_TOKEN), f"{type(module).__name__}.{ACTIVATIONS}", f"is {INT8_PER_TOKEN!r} or None",
        repr(given), "Say whether activations of its int8 weights are int8, too; nkimoe.hf.load_int8 does.",
    )  # fmt: skip
    *tensors, scale, down_scale = parameters_of(module)
    scale, down_scale = (s.reshape(len(s), -1).float() for s in (scale, down_scale))
    experts = _arranged(module, tensors)
    E, H, _, I = experts.gate_up.shape
    wanted = (E, 2 * I if module.has_gate else I), (E, H)
    found = tuple(scale.shape), tuple(down_scale.shape)
    require(found == wanted, "scales", f"are a number an output column, {wanted}", found, "Reshape them.")
    exact = EXACT_ROWS if given == INT8_PER_TOKEN else None
    return replace(experts, scales=[_split(module, scale), down_scale], exact_rows=exact)


def _fp8_weights_of(module: Any) -> ExpertWeights:
    name, I = type(module).__name__, module.down_proj.shape[1 if module.is_transposed else 2]
    for attribute, wanted in (
        ("block_size", [SIZE, SIZE]),
        ("activation_scheme", "dynamic"),
        ("is_concatenated", True),
    ):
        found = getattr(module, attribute, None)
        is_right = (list(found) if isinstance(found, tuple) else found) == wanted
        require(is_right, f"{name}.{attribute}", f"is {wanted}", found, "Load the model dequantised.")
    require(I % SIZE == 0, name, f"has I in whole blocks of {SIZE}", I, "Load the model dequantised.")
    *tensors, scale, down_scale = parameters_of(module)
    if not module.is_transposed:
        scale, down_scale = scale.transpose(1, 2), down_scale.transpose(1, 2)
    return replace(_arranged(module, tensors), scales=[_split(module, scale.float()), down_scale.float()])


def join(module: Any, gate_up: Tensor, down: Tensor, gate_up_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [E, H, 2, I], [E, I, H] and scales [E, 2, I] of gated experts as the module has them."""
    if not module.is_concatenated:
        gate_up, gate_up_scale = gate_up.transpose(-1, -2), gate_up_scale.transpose(-1, -2)
    gate_up = gate_up.flatten(-2)
    if not module.is_transposed:
        gate_up, down = gate_up.transpose(1, 2), down.transpose(1, 2)
    return gate_up.contiguous(), down.contiguous(), gate_up_scale.flatten(-2)


def _arranged(module: Any, tensors: list[Tensor]) -> ExpertWeights:
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
