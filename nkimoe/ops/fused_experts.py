"""`fused_experts`: the routed experts of a layer, with SGLang's arguments and order of rounding."""

from __future__ import annotations

from typing import Any

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import (
    INT8_W8A8,
    UNQUANT,
    Experts,
    arranged,
    check_kinds,
    check_matrices,
    check_routing,
    check_scale,
    check_tokens,
    int8_experts,
)
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routed import run_routed
from nkimoe.ops.routing_tensors import dtype_of

QUANTISATIONS = (INT8_W8A8, UNQUANT)


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
    require(
        quantization in QUANTISATIONS, "quantization", f"is {' or '.join(QUANTISATIONS)}", repr(quantization),
        "Dequantise other weights first, or call moe_cte.",
    )  # fmt: skip
    T, K = check_tokens(x)
    is_int8 = quantization == INT8_W8A8
    check_kinds(x, w1=w1, w2=w2, w1_scale=w1_scale, w2_scale=w2_scale)
    E, N = check_matrices(w1, w2, K, ("int8",) if is_int8 else (dtype_of(x),))
    ids, weights = check_routing(topk_ids, topk_weights, T, E)
    scales = int8_scales(quantization, w1_scale, w2_scale, (E, 2 * N), (E, K))
    experts = int8_experts(w1, w2, *scales) if is_int8 else Experts(*arranged(w1, w2), None, None, None)
    return run_routed(launch, x, experts, ids, weights, round_each, block_size)


def int8_scales(
    quantization: str, w1_scale: Any, w2_scale: Any, first: tuple[int, int], second: tuple[int, int]
) -> tuple[Any, Any]:
    """Both scales in these shapes with int8 weights, none without.

    Raises:
        RequestError: one is missing, not asked for, or of another shape or type.
    """
    named = ("w1_scale", w1_scale, first), ("w2_scale", w2_scale, second)
    if quantization != INT8_W8A8:
        for name, scale, _ in named:
            require(scale is None, name, f"is for {INT8_W8A8}", quantization, "Drop it.")
        return None, None
    for name, scale, _ in named:
        require(scale is not None, name, f"is given with {INT8_W8A8}", "None", "Pass ones if there is none.")
    checked = [check_scale(*each) for each in named]
    return checked[0], checked[1]
