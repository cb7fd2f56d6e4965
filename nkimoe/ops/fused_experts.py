# SPDX-License-Identifier: Apache-2.0
"""`fused_experts`: the routed experts of a layer, with SGLang's arguments and order of rounding."""

from __future__ import annotations

from typing import Any

from nkimoe.ops.expert_arguments import (
    INT8_W8A8,
    check_kinds,
    check_matrices,
    check_quantization,
    check_routing,
    check_tokens,
    experts_of,
    int8_scales,
    weight_types,
)
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routed import run_routed


@OnCores
def fused_experts(
    launch: Launch, x: Any, w1: Any, w2: Any, topk_weights: Any, topk_ids: Any, *, w1_scale: Any = None,
    w2_scale: Any = None, quantization: str = INT8_W8A8, round_each: bool = True, block_size: int | None = None,
) -> Any:  # fmt: skip
    """The MLP of each token's experts, weighted and added up.

    For token t and choice j with expert e, g and u the halves of x[t] W1[e], in fp32 but where it says otherwise:

        m = silu(g) * u, rounded to the type of x      y = m W2[e] * weight      out[t] = sum over j of y, in order

    `int8_w8a8`: x and m become int8 row by row, with a = max(max |row|, 1e-7), scale a / 127 and codes row * (127 / a),
    rounded to the nearest, ties to even; sums of products are those of integers; they are multiplied by the scale of
    the row, then by that of the column. x is quantised once a token.

    Args:
        x: [T, K] bf16 or fp16, NumPy or torch; T may be 0.
        w1: [E, 2N, K], gate rows first; w2: [E, K, N]. int8, or with `unquant` the type of x.
        topk_weights: [T, k] float32. topk_ids: [T, k] int32 or int64, k up to E; a pair with an id that is no expert
            adds nothing, one that repeats adds again.
        w1_scale, w2_scale: float32 [E, 2N] and [E, K], or with a last dimension of 1; of int8 weights.
        quantization: "int8_w8a8" or "unquant".
        round_each: y is rounded to the type of x before the sum, as SGLang does; else only the sum is.
        block_size: slots that meet an expert's weights together; None chooses.

    Returns:
        [T, K], type and kind of x.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    check_quantization(quantization)
    T, K = check_tokens(x)
    check_kinds(x, w1=w1, w2=w2, w1_scale=w1_scale, w2_scale=w2_scale)
    E, N = check_matrices(w1, w2, K, weight_types(quantization, x))
    ids, weights = check_routing(topk_ids, topk_weights, T, E)
    scales = int8_scales(quantization, w1_scale, w2_scale, (E, 2 * N), (E, K))
    experts = experts_of(quantization, w1, w2, scales)
    return run_routed(launch, x, experts, ids, weights, round_each, block_size)
