"""`fused_moe_gemm`: one projection of each token by each of its experts, with aiter's epilogues."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import UNQUANT, check_routing
from nkimoe.ops.gemm_weights import Quantisation, check_rows, checked_weights
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.projection import Epilogue, Projection
from nkimoe.ops.routing_tensors import dtype_of, shape_of
from nkimoe.ops.run_grouped import run_grouped
from nkimoe.ops.tuned_choices import check_tuned
from nkimoe.planning.grouped_gemm.request import EPILOGUES, GELU, HALVED, SILU, SWIGLU, Weighting
from nkimoe.tuning.table import TunedRows


@OnCores
def fused_moe_gemm(
    launch: Launch, a: Any, b: Any, topk_ids: Any, topk_weights: Any = None, *, epilogue: str | None = None,
    quantization: str = UNQUANT, b_scale: Any = None, zero_point: Any = None, group_size: int | None = None,
    a_scale: Any = None, bias: Any = None, doweight_stage1: bool = False, alpha: float = 1.0,
    limit: float | None = None, add_residual: bool = False, legacy_order: bool = False,
    tuned: TunedRows | None = None,
) -> Any:  # fmt: skip
    """c[t, j] = epilogue(a[t] b[e] * scale[e] + bias[e]) * weight[t, j] for the expert e of (t, j); fp32, rounded once.

    Epilogues of a row v, whose first half is g and its second u:

        None: v      silu, gelu_mul: act(g) * u      gelu: gelu(v)
        swiglu: g * sigmoid(alpha * g) * (u, or u + 1), g even columns up to `limit`, u odd ones within it

    gelu is its tanh form. The result of a pair whose id is no expert is zero; an id that repeats has its results again.

    Args:
        a: [M, K] bf16 or fp16, NumPy or torch, K up to 16384; M may be 0.
        b: [E, N, K], of the type that `quantization` says. It is turned on the host.
        topk_ids: [M, k] int32 or int64, k up to E. topk_weights: [M, k] float32; None: no weights.
        epilogue: None, "silu", "gelu_mul", "gelu" or "swiglu".
        quantization: "unquant", b is of the type of a;
            "int8_w8a16", int8 weights alone;
            "int8_w8a8", int8, and so become rows of a, as by `fused_experts`; sums of products are those of integers;
            "int4_w4a16", uint8 [E, N, K / 2], the code of the even row in the low half; each weight is
            (code - zero) * scale, rounded to the type of a;
            "fp8_w8a16", a type of the target's fp8; "fp8_w8a8", and rows become e4m3, a / a_scale.
        b_scale: float32 [E, N], or with a last dimension of 1; of fp8 also [E]; of int4 [E, N, K / group_size], also of
            the type of a. zero_point: of int4, uint8 [E, N / 2, K / group_size], that of the even column in the low
            half; None: 8. group_size: of int4. a_scale: of "fp8_w8a8", float32, one number.
        bias: float32 [E, N], or None.
        doweight_stage1: weights multiply before bias and epilogue.
        alpha, limit, add_residual: of "swiglu".
        legacy_order: the values of aiter's kernels: with "silu" weights multiply, and all is rounded to the type of a,
            before the epilogue; with "gelu" and weights there is no epilogue.
        tuned: as of `fused_moe`; gated epilogues take the first stage of a layer's row.

    Returns:
        [M, k, N or N / 2], type and kind of a.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    M, K = check_rows("a", a)
    check_tuned(tuned)
    require(epilogue in EPILOGUES, "epilogue", "is None, silu, gelu_mul, gelu or swiglu", repr(epilogue), "Pick one.")
    given = Quantisation(quantization, b_scale, zero_point, group_size, a_scale)
    weights = checked_weights(b, dtype_of(a), K, 2 if epilogue in HALVED else 1, given, bias)
    all_ones = np.ones(shape_of("topk_ids", topk_ids), np.float32)
    ids, factors = check_routing(topk_ids, all_ones if topk_weights is None else topk_weights, M, weights.sizes[0])
    weighting = _weighting(epilogue, topk_weights is not None, doweight_stage1, legacy_order, bias)
    if legacy_order and epilogue == GELU and topk_weights is not None:
        epilogue = None
    check_swiglu(epilogue, alpha, limit, add_residual)
    finish = Epilogue(epilogue, weighting, float(alpha), None if limit is None else float(limit), add_residual)
    return run_grouped(launch, a, Projection(weights, finish), ids, factors, tuned)


def _weighting(epilogue: str | None, weighted: bool, doweight_stage1: bool, legacy_order: bool, bias: Any) -> Weighting:
    """When weights multiply. Raises RequestError for what excludes each other."""
    for name, value in (("doweight_stage1", doweight_stage1), ("legacy_order", legacy_order)):
        require(isinstance(value, bool), name, "is True or False", repr(value), "Pass a bool.")
    if doweight_stage1:
        require(weighted, "doweight_stage1", "comes with topk_weights", "None", "Pass them, or drop it.")
    if legacy_order:
        require(epilogue in (SILU, GELU), "legacy_order", f"is for {SILU} and {GELU}", repr(epilogue), "Drop it.")
        require(not doweight_stage1, "legacy_order", "comes without doweight_stage1", "both", "Pick one.")
        require(bias is None, "legacy_order", "comes without bias", "both", "Pick one.")
        if epilogue == SILU:
            return Weighting.ROUNDED
    if not weighted:
        return Weighting.NONE
    return Weighting.BEFORE if doweight_stage1 else Weighting.AFTER


def check_swiglu(epilogue: str | None, alpha: float, limit: float | None, add_residual: bool) -> None:
    """Raises RequestError for options of swiglu that are out of range, or come with another epilogue."""
    require(math.isfinite(alpha), "alpha", "is finite", alpha, "gpt-oss has 1.702.")
    require(limit is None or (math.isfinite(limit) and limit > 0), "limit", "is positive, or None", limit, "Drop it.")
    require(isinstance(add_residual, bool), "add_residual", "is True or False", repr(add_residual), "Pass a bool.")
    is_default = (alpha, limit, add_residual) == (1.0, None, False)
    rule, fix = f"is {SWIGLU} with alpha, limit or add_residual", "Drop them."
    require(is_default or epilogue == SWIGLU, "epilogue", rule, repr(epilogue), fix)
