# SPDX-License-Identifier: Apache-2.0
"""Scales of activations that the caller quantised: of each token, or of an expert's matrix. They multiply products."""

from __future__ import annotations

from typing import Any

from nkimoe.errors import require
from nkimoe.planning.problem import Problem
from nkimoe.planning.quantization import check_scale, down_of, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.targets import Target
from nkimoe.planning.variants import Variant


def of_tokens(scale: Any, rows: int) -> Any:
    """The scale if it has a number for each row of the hidden states, [T', 1]; else None."""
    return scale if scale is not None and tuple(int(n) for n in scale.shape) == (rows, 1) else None


def of_experts(scale: Any, rows: int) -> Any:
    """The scale if it has numbers for each expert, of gate and up [E, 2, 1], of down [E, 1]; else None."""
    return None if scale is None or of_tokens(scale, rows) is not None else scale


def hidden_scales(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """fp32, of tokens or experts, with quantised weights and activations that nkimoe does not quantise."""
    p = problem
    for which, matrix, an_expert in (("gate_up", gate_up_of(request), (2, 1)), ("down", down_of(request), (1,))):
        name, scale = f"{which}_hidden_scale", getattr(request, f"{which}_hidden_scale")
        if scale is None:
            continue
        check_scale(name, scale, ((p.rows, 1), (p.E, *an_expert)))
        require(
            matrix.scale is not None, name, "multiplies products of quantised weights",
            f"{matrix.weight.dtype} weights", "Multiply hidden_states or affinities instead.",
        )  # fmt: skip
        require(
            matrix.in_scale is None and request.activation_quantization is None, name,
            "is for activations that the caller quantised", "activations that are quantised on chip", "Choose one.",
        )  # fmt: skip
        require(
            p.rows != p.E or len(scale.shape) > 2, name, "is of tokens or of experts, which its shape tells apart",
            f"{p.rows} rows and as many experts", "Add a row to hidden_states.",
        )  # fmt: skip
