# SPDX-License-Identifier: Apache-2.0
"""From what an operation launches to a kernel of flat arguments, and these by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.pair_experts import pair_experts, single_expert
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.planning.grouped_gemm.request import GemmOptions
from nkimoe.pytorch.flat_kernels import Number
from nkimoe.pytorch.flat_operations import (
    Finish,
    flat_grouped_gemm,
    flat_pair_experts,
    flat_single_expert,
    flat_two_stage_moe,
)

FLAT = (
    (pair_experts, flat_pair_experts),
    (single_expert, flat_single_expert),
    (grouped_gemm, flat_grouped_gemm),
    (two_stage_moe, flat_two_stage_moe),
)
OF_STAGE = {"options": "", "first": "1", "second": "2"}  # what follows the names of the options of a projection


def names_of(kernel: Any) -> tuple[str, ...]:
    """Arguments of a kernel."""
    return tuple(inspect.signature(getattr(kernel, "func", kernel)).parameters)


def flattened(kernel: Any, arguments: tuple[Any, ...]) -> tuple[Any, Mapping[str, Any]]:
    """The kernel of flat arguments that does what `kernel` does with its own, and those arguments.

    Tensors of fp8 become int8, since torch-neuronx takes no fp8 for Trn2.
    """
    flat = next(own for each, own in FLAT if each is kernel)
    values: dict[str, Any] = {"number": None}
    for name, value in zip(names_of(kernel), arguments, strict=True):
        if isinstance(value, ExpertOptions):
            values |= _of_experts(value)
        elif isinstance(value, GemmOptions):
            values |= {f"{key}{OF_STAGE[name]}": each for key, each in _of_gemm(value).items()}
        elif isinstance(value, torch.Tensor):
            number, values[name] = _carried(value.contiguous())
            values["number"] = number or values["number"]
        else:
            values[name] = value
    return flat, {name: values[name] for name in names_of(flat)}


def _carried(tensor: torch.Tensor) -> tuple[Number | None, torch.Tensor]:
    """(what its integers stand for, the tensor) of a tensor of fp8; others stay."""
    name = str(tensor.dtype).removeprefix("torch.")
    return (Number(name), tensor.view(torch.int8)) if name.startswith("float8") else (None, tensor)


def _of_experts(options: ExpertOptions) -> dict[str, Any]:
    return {
        **vars(options),
        "compute_dtype": Number(options.compute_dtype),
        "quantises": options.activation_quantization is not None,
    }


def _of_gemm(options: GemmOptions) -> dict[str, Any]:
    return {
        **vars(options),
        **vars(options.choice),
        "compute_dtype": Number(options.compute_dtype),
        "out_dtype": Number(options.out_dtype),
        "epilogue": None if options.epilogue is None else Finish(options.epilogue),
        "row_codes": None if options.row_codes is None else Number(options.row_codes),
    }
