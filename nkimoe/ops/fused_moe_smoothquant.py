# SPDX-License-Identifier: Apache-2.0
"""`fused_moe_smoothquant`: Composable Kernel's fused MoE with dynamic smooth quantisation of both activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import (
    INT8_W8A8,
    check_finite,
    check_kinds,
    check_matrices,
    check_routing,
    check_scale,
    check_tokens,
    int8_experts,
    int8_scales,
    padded,
)
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routed import run_routed
from nkimoe.ops.routing_tensors import shape_of
from nkimoe.planning.row_quantisation.check_inputs import check_products
from nkimoe.spec import ActFnType

ACTIVATIONS = {"silu": ActFnType.SiLU, "gelu": ActFnType.GELU}


@OnCores
def fused_moe_smoothquant(
    launch: Launch, x: Any, w1: Any, w2: Any, topk_weights: Any, topk_ids: Any, *, w1_scale: Any, w2_scale: Any,
    smooth_scale1: Any, smooth_scale2: Any, activation: str = "silu", block_size: int | None = None,
) -> Any:  # fmt: skip
    """Smooth, quantise, multiply, activate, smooth, quantise, multiply, weight, add: example 15 with fquant = 1.

    For token t and choice j with expert e, all in fp32:

        q, s = quantised(x[t] * smooth_scale1[e])        g, u = q W1[e] * s * w1_scale[e]
        p, r = quantised(act(g) * u * smooth_scale2[e])  y = p W2[e] * r * w2_scale[e] * weight

    and out[t] is the sum over j, in order, rounded once. Rows are quantised as by `moe_smoothquant`; sums of products
    are those of integers.

    Args:
        x: [T, H] bf16 or fp16, NumPy or torch; T may be 0.
        w1: int8 [E, 2I, H], gate rows first, or [E, I, H], gate only: act(g) stands for act(g) * u. w2: int8 [E, H, I].
        topk_weights, topk_ids: as of `fused_experts`.
        w1_scale, w2_scale: float32 [E, 2I or I] and [E, H].
        smooth_scale1, smooth_scale2: float32 [E, H] and [E, I].
        activation: "silu", or "gelu" with the exact erf.
        block_size: as of `fused_experts`.

    Returns:
        [T, H], type and kind of x.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values, or smoothed ones beyond
            2**127.
    """
    known = " or ".join(ACTIVATIONS)
    require(
        activation in tuple(ACTIVATIONS), "activation", f"is {known}", repr(activation),
        "Composable Kernel has these two.",
    )  # fmt: skip
    T, H = check_tokens(x)
    check_kinds(
        x, w1=w1, w2=w2, w1_scale=w1_scale, w2_scale=w2_scale, smooth_scale1=smooth_scale1, smooth_scale2=smooth_scale2
    )
    gated = _is_gated(w1, w2)
    E, I = check_matrices(w1, w2, H, ("int8",), gated)
    ids, weights = check_routing(topk_ids, topk_weights, T, E)
    halves = 2 if gated else 1
    scales = int8_scales(INT8_W8A8, w1_scale, w2_scale, (E, halves * I), (E, H))
    smooth = check_scale("smooth_scale1", smooth_scale1, (E, H)), check_scale("smooth_scale2", smooth_scale2, (E, I))
    check_products("smooth_scale1", check_finite("x", x) * check_finite("smooth_scale1", smooth[0]))
    experts = int8_experts(w1, w2, *scales, halves)
    rows, columns = int(experts.down.shape[2]), int(experts.down.shape[1])
    experts = replace(
        experts, smooth=(padded(smooth[0], rows), padded(smooth[1], columns)), activation=ACTIVATIONS[activation],
        is_gated=gated,
    )  # fmt: skip
    return run_routed(launch, x, experts, ids, weights, False, block_size)


def _is_gated(w1: Any, w2: Any) -> bool:
    """Whether w1 has twice the rows that w2 has columns."""
    first, second = shape_of("w1", w1), shape_of("w2", w2)
    return len(first) != 3 or len(second) != 3 or first[1] != second[2]
