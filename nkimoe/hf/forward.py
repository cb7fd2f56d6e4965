# SPDX-License-Identifier: Apache-2.0
"""The forwards of an experts module, and their registration with transformers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from nkimoe.errors import RequestError
from nkimoe.hf.fused_moe import through_fused_moe
from nkimoe.hf.packed import packed_weights
from nkimoe.hf.recognise import limits_of, recognise_while_traced
from nkimoe.pytorch.experts import expert_outputs, moe_experts
from nkimoe.pytorch.gate import Gate
from nkimoe.pytorch.options import current_options

NAME = "nkimoe"
"""Of this implementation, for `set_experts_implementation`."""
Through = Callable[[Any, Gate, Tensor, Tensor, Tensor], Tensor]
_GATE = "_nkimoe_gate"  # of a module: a dictionary of modules breaks the guards of compiled ones when one is gone


def register(name: str = NAME) -> None:
    """Add `name` and `name`_fused_moe to the experts implementations of transformers; again, it changes nothing.

    `model.set_experts_implementation("nkimoe")`, or `experts_implementation="nkimoe"` when loading, then runs the
    experts of every family with transformers' `use_experts_implementation` through `moe_cte`, as `nkimoe.hf.options`
    says; "nkimoe_fused_moe" runs them through the operation `fused_moe`. FP8Experts know `name` alone.

    Raises:
        ImportError: transformers has no experts interface (it came with version 5).
    """
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    ALL_EXPERTS_FUNCTIONS.register(name, experts_forward)
    ALL_EXPERTS_FUNCTIONS.register(f"{name}_fused_moe", fused_moe_forward)
    with suppress(ImportError):  # transformers without experts in fp8
        from transformers.integrations.finegrained_fp8 import ALL_FP8_EXPERTS_FUNCTIONS

        ALL_FP8_EXPERTS_FUNCTIONS.register(name, experts_forward)


def experts_forward(module: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """The weighted sum of each token's experts: [T, H].

    hidden_states [T, H]; top_k_index, top_k_weights [T, K]. Ids from E on (experts of another rank) are ignored.

    Raises:
        RequestError: the module is not what the kernel computes; with `options(strict=False)` it runs in torch.
    """
    return _forward(_through_moe_cte, module, hidden_states, top_k_index, top_k_weights)


def fused_moe_forward(module: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
    """Likewise, by the operation `fused_moe`. Not differentiable."""
    return _forward(through_fused_moe, module, hidden_states, top_k_index, top_k_weights)


def _forward(through: Through, module: Any, hidden_states: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    try:
        return through(module, _gate_of(module), hidden_states, ids, weights)
    except RequestError as error:
        if current_options().strict:
            raise
        warnings.warn(f"{type(module).__name__} runs in torch: {error}", RuntimeWarning, stacklevel=3)
    eager = type(module).forward.__wrapped__  # what the class itself defines
    result: Tensor = eager(module, hidden_states, ids, weights)
    return result


def _through_moe_cte(module: Any, gate: Gate, hidden_states: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    experts = packed_weights(module, hidden_states, current_options())
    if not module.has_post_expert_norm:
        return moe_experts(hidden_states, ids, weights, experts, gate, _is_complete(module, ids, experts.n_experts))
    outputs = module.post_expert_norm(expert_outputs(hidden_states, ids, experts, gate))
    is_local = (ids >= 0) & (ids < experts.n_experts)
    return (outputs * weights.masked_fill(~is_local, 0)[:, :, None]).sum(dim=1).to(hidden_states.dtype)


def _is_complete(module: Any, ids: Tensor, n_experts: int) -> bool:
    """Whether tokens list different experts of this rank: seen where the host has the ids, else said by the module."""
    if torch.compiler.is_compiling() or ids.device.type != "cpu":
        return not getattr(module, "_is_expert_parallel", True)
    ordered = ids.sort(dim=1).values
    is_local, repeats = (ids >= 0) & (ids < n_experts), ordered[:, 1:] == ordered[:, :-1]
    return bool(is_local.all() and not repeats.any())


def _gate_of(module: Any) -> Gate:
    """Recognised once for a module, and again if its activation or limits were replaced."""
    key = (getattr(module, "act_fn", None), *limits_of(module))
    kept: tuple[Any, Gate] | None = getattr(module, _GATE, None)
    if kept is None or kept[0] != key:
        kept = (key, recognise_while_traced(module))
        if not torch.compiler.is_compiling():  # a graph changes no module
            setattr(module, _GATE, kept)
    return kept[1]
