# SPDX-License-Identifier: Apache-2.0
"""`fused_moe`: both projections of each token's experts, one after the other, with aiter's options."""

from __future__ import annotations

from typing import Any

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import UNQUANT
from nkimoe.ops.expert_mask import check_local_routing
from nkimoe.ops.fused_moe_gemm import check_swiglu
from nkimoe.ops.gemm_quantisation import Quantisation
from nkimoe.ops.gemm_rows import check_rows
from nkimoe.ops.gemm_weights import checked_weights
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.projection import Epilogue, Projection
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.ops.run_grouped import run_two_stages
from nkimoe.ops.tuned_choices import check_tuned
from nkimoe.planning.grouped_gemm.request import GELU_MUL, SILU, SWIGLU, Weighting
from nkimoe.tuning.table import TunedRows

ACTIVATIONS = {"silu": SILU, "gelu": GELU_MUL, "swiglu": SWIGLU}


@OnCores
def fused_moe(
    launch: Launch, hidden_states: Any, w1: Any, w2: Any, topk_weights: Any, topk_ids: Any, *, expert_mask: Any = None,
    activation: str = "silu", quantization: str = UNQUANT, doweight_stage1: bool = False, w1_scale: Any = None,
    w2_scale: Any = None, w1_zero_point: Any = None, w2_zero_point: Any = None, group_size: int | None = None,
    a1_scale: Any = None, a2_scale: Any = None, bias1: Any = None, bias2: Any = None, alpha: float = 1.0,
    limit: float | None = None, add_residual: bool = False, tuned: TunedRows | None = None,
) -> Any:  # fmt: skip
    """Sort, first projection and activation, second projection, weighted sum: each step for all pairs before the next.

    m = `fused_moe_gemm` of hidden_states and w1, a row for each pair (t, j), rounded to their type; then

        out[t] = sum over j, in order, of (m[t, j] w2[e] * w2_scale[e] + bias2[e]) * weight[t, j]

    in fp32, rounded once. The same bits every time. `e2e_moe` is faster where its one activation and type will do.

    Args:
        hidden_states: [M, H] bf16 or fp16, NumPy or torch; M may be 0.
        w1: [E, 2I, H], gate rows first, or of "swiglu" gate and up rows in turns; w2: [E, H, I]; in one quantisation.
        topk_weights: [M, k] float32. topk_ids: [M, k] int32 or int64; a pair with an id that is no expert adds nothing.
            Shared experts are experts of more ids.
        expert_mask: as of `e2e_moe`.
        activation: "silu", "gelu" in its tanh form, or "swiglu".
        quantization, group_size, alpha, limit, add_residual: as of `fused_moe_gemm`, as are the scales, zero points and
            biases of each projection; a1_scale and a2_scale are the a_scale of hidden_states and of m.
        doweight_stage1: weights multiply in the first projection, before bias and activation, not in the second.
        tuned: rows of a tuned table; that of this layer decides how it runs, which no bit of the result depends on.

    Returns:
        [M, H], type and kind of hidden_states.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    M, H = check_rows("hidden_states", hidden_states)
    known = ", ".join(ACTIVATIONS)
    require(activation in ACTIVATIONS, "activation", f"is {known}", repr(activation), "Use fused_moe_gemm twice.")
    is_bool = isinstance(doweight_stage1, bool)
    require(is_bool, "doweight_stage1", "is True or False", repr(doweight_stage1), "Pass a bool.")
    check_tuned(tuned)
    check_swiglu(ACTIVATIONS[activation], alpha, limit, add_residual)
    dtype = dtype_of(hidden_states)
    given = Quantisation(quantization, w1_scale, w1_zero_point, group_size, a1_scale)
    given.check(dtype)
    first = checked_weights(w1, dtype, H, 2, given, bias1)
    given = Quantisation(quantization, w2_scale, w2_zero_point, group_size, a2_scale)
    given.check(dtype)
    second = checked_weights(w2, dtype, first.sizes[1] // 2, 1, given, bias2)
    require(second.sizes == (first.sizes[0], H), "w2", f"is [{first.sizes[0]}, {H}, I]", second.sizes, "Stack experts.")
    ids, weights = check_local_routing(topk_ids, topk_weights, M, first.sizes[0], expert_mask)
    orders = (Weighting.BEFORE, Weighting.NONE) if doweight_stage1 else (Weighting.NONE, Weighting.AFTER)
    activated = Epilogue(ACTIVATIONS[activation], orders[0], alpha, limit, add_residual)
    stages = Projection(first, activated), Projection(second, Epilogue(None, orders[1]))
    return run_two_stages(launch, hidden_states, *stages, ids, weights, tuned)
