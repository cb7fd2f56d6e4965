# SPDX-License-Identifier: Apache-2.0
"""Operations of `nkimoe.ops` with experts as torch operators with fake kernels, such as `torch.ops.nkimoe.fused_moe`.

An operator takes what its operation takes, by position or by name, and `cores` and `target` behind that. The functions
here take these two from the options in force. There are no gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nkimoe import TOOLCHAIN, ops
from nkimoe.errors import RequestError
from nkimoe.ops.launch import OnCores
from nkimoe.planning.grouped_gemm.request import HALVED
from nkimoe.pytorch import neuron
from nkimoe.pytorch.experts import SIXTEEN_BITS
from nkimoe.pytorch.flat_arguments import flattened
from nkimoe.pytorch.options import Options, current_options
from nkimoe.toolchain import NEURON

HOW: dict[str, Any] = {"cores": Options().cores, "target": Options().target}
NUMPY_OR_TORCH = "Any"  # how operations annotate tensors
# A table is no value that a graph can hold; and torch has no type for Trn2's codes.
NOT_IN_GRAPHS = ("tuned", "out_dtype", "out_scale")


def _operator(operation: OnCores, shape: Callable[..., tuple[int, ...]]) -> Callable[..., Tensor]:
    """The operator of an operation, called with the options in force.

    Args:
        shape: of the result, from the arguments by name.
    """
    name, signature = operation.__name__, _signature(operation)

    def run(*arguments: Any, **options: Any) -> Tensor:
        given = HOW | signature.bind(*arguments, **options).arguments
        launch = partial(_launch, *(given.pop(key) for key in HOW))
        result: Tensor = operation.launched_by(launch)(**given)
        return result.contiguous()

    def fake(*arguments: Any, **options: Any) -> Tensor:
        given = signature.bind(*arguments, **options).arguments
        tokens: Tensor = arguments[0]
        is_coded = tokens.dtype not in SIXTEEN_BITS  # rows of codes have results in bf16
        return tokens.new_empty(shape(**given), dtype=torch.bfloat16 if is_coded else tokens.dtype)

    def refuse(*_: Any) -> None:
        raise RequestError(name, "is not differentiated", "a backward pass", "Train with nkimoe.pytorch.moe_experts.")

    run.__signature__ = signature  # type: ignore[attr-defined]
    registered = neuron.operator(f"nkimoe::{name}")(run)
    registered.register_fake(fake)
    registered.register_autograd(refuse, setup_context=None)

    def with_options(*arguments: Any, **options: Any) -> Tensor:
        in_force = current_options()
        result: Tensor = registered(*arguments, **options, cores=in_force.cores, target=in_force.target)
        return result

    with_options.__name__, with_options.__doc__ = name, operation.__doc__
    own = [*signature.parameters.values()][: -len(HOW)]
    with_options.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    return with_options


def _signature(operation: OnCores) -> inspect.Signature:
    """What torch reads the schema from. All by position, too: torch knows no tensors by name alone."""
    _, *own = inspect.signature(operation).parameters.values()
    how = (_parameter(name, type(value), value) for name, value in HOW.items())
    values = (_of_torch(each) for each in own if each.name not in NOT_IN_GRAPHS)
    return inspect.Signature([*values, *how], return_annotation=Tensor)


def _of_torch(own: inspect.Parameter) -> inspect.Parameter:
    is_required = own.default is inspect.Parameter.empty
    tensor = Tensor if is_required else Tensor | None
    return _parameter(own.name, tensor if own.annotation == NUMPY_OR_TORCH else own.annotation, own.default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _launch(cores: int, target: str, kernel: Any, *arguments: Any) -> Any:
    if TOOLCHAIN == NEURON:
        flat, values = flattened(kernel, arguments)
        return neuron.launch(flat, cores, values)
    from nkisim import Simulator

    return Simulator(target, cores).run(kernel, *arguments).outputs


def _of_pairs(
    b: Tensor, topk_ids: Tensor, epilogue: str | None = None, reduce: bool = False, **_: Any
) -> tuple[int, ...]:
    rows = topk_ids.shape[:1] if reduce else topk_ids.shape
    return (*rows, b.shape[1] // 2 if epilogue in HALVED else b.shape[1])


e2e_moe = _operator(ops.e2e_moe, lambda a, **_: a.shape)
"""`nkimoe.ops.e2e_moe` on tensors: the same arguments and errors, one node of a graph, no gradients."""
fused_experts = _operator(ops.fused_experts, lambda x, **_: x.shape)
"""`nkimoe.ops.fused_experts` on tensors: the same arguments and errors, one node of a graph, no gradients."""
fused_moe = _operator(ops.fused_moe, lambda hidden_states, **_: hidden_states.shape)
"""`nkimoe.ops.fused_moe` on tensors: the same arguments and errors, one node of a graph, no gradients."""
fused_moe_gemm = _operator(ops.fused_moe_gemm, _of_pairs)
"""`nkimoe.ops.fused_moe_gemm` on tensors: the same arguments and errors, one node of a graph, no gradients."""
fused_moe_smoothquant = _operator(ops.fused_moe_smoothquant, lambda x, **_: x.shape)
"""`nkimoe.ops.fused_moe_smoothquant` on tensors: the same arguments and errors, one node of a graph, no gradients."""
shared_expert = _operator(ops.shared_expert, lambda x, **_: x.shape)
"""`nkimoe.ops.shared_expert` on tensors: the same arguments and errors, one node of a graph, no gradients."""
