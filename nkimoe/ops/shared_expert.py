# SPDX-License-Identifier: Apache-2.0
"""`shared_expert`: the expert that sees every token, added to what the routed ones gave."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import (
    INT8_W8A8,
    check_finite,
    check_kinds,
    check_matrices,
    check_quantization,
    check_tokens,
    experts_of,
    int8_scales,
    padded,
    weight_types,
    zeros_like_rows,
)
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.pair_experts import single_expert
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.planning.tiling import ceil_div

BLOCK = 256
LARGEST_FACTOR = float(np.finfo(np.float32).max)


@OnCores
def shared_expert(
    launch: Launch, x: Any, w1: Any, w2: Any, fused_experts_out: Any, routed_scaling_factor: float, *,
    w1_scale: Any = None, w2_scale: Any = None, quantization: str = INT8_W8A8,
) -> Any:  # fmt: skip
    """out = mlp(x) + fused_experts_out * routed_scaling_factor, in fp32, rounded once.

    The factor multiplies the routed output here: a router that has applied it, passes 1. The MLP is that of
    `fused_experts`, without a weight and without a rounding of its result.

    Args:
        x, fused_experts_out: [T, K] bf16 or fp16, of one type; T may be 0.
        w1: [2N, K], gate rows first; w2: [K, N]. int8, or with `unquant` the type of x.
        w1_scale, w2_scale: float32 [2N] and [K], or with a last dimension of 1; of int8 weights.
        quantization: "int8_w8a8" or "unquant".

    Returns:
        [T, K], type and kind of x.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    check_quantization(quantization)
    T, K = check_tokens(x)
    given = shape_of("fused_experts_out", fused_experts_out), dtype_of(fused_experts_out)
    require(given == ((T, K), dtype_of(x)), "fused_experts_out", f"is {dtype_of(x)} {(T, K)}", given, "Cast it.")
    check_finite("fused_experts_out", fused_experts_out)
    is_number = isinstance(routed_scaling_factor, Real) and not isinstance(routed_scaling_factor, bool)
    require(
        is_number and abs(routed_scaling_factor) <= LARGEST_FACTOR, "routed_scaling_factor", "is a number of fp32",
        repr(routed_scaling_factor), "Pass 1.0 for none.",
    )  # fmt: skip
    check_kinds(x, w1=w1, w2=w2, fused_experts_out=fused_experts_out, w1_scale=w1_scale, w2_scale=w2_scale)
    for name, matrix in (("w1", w1), ("w2", w2)):
        require(
            len(shape_of(name, matrix)) == 2, name, "has two dimensions", shape_of(name, matrix), "Pass one expert."
        )
    w1, w2 = w1[None], w2[None]
    _, N = check_matrices(w1, w2, K, weight_types(quantization, x))
    scales = int8_scales(quantization, _of_one("w1_scale", w1_scale), _of_one("w2_scale", w2_scale), (1, 2 * N), (1, K))
    experts = experts_of(quantization, w1, w2, scales)
    if not T:
        return zeros_like_rows(x)
    blocks = ceil_div(T, BLOCK)
    tokens = np.where(np.arange(blocks * BLOCK) < T, np.arange(blocks * BLOCK), -1).astype(np.int32)
    H = int(experts.down.shape[2])
    options = ExpertOptions(
        BLOCK, dtype_of(x), activation_quantization=experts.activation_quantization, exact_rows=experts.exact_rows
    )
    tables = like(tokens, x), like(np.zeros(blocks, np.int32), x)
    rows, added = padded(x, H), padded(fused_experts_out, H)
    return launch(single_expert, rows, *experts.tensors, added, float(routed_scaling_factor), *tables, options)[:, :K]


def _of_one(name: str, scale: Any) -> Any:
    """Scales of the only expert there is."""
    if scale is None:
        return None
    shape = shape_of(name, scale)
    return scale.reshape((1, *shape))
