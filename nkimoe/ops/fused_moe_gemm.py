# SPDX-License-Identifier: Apache-2.0
"""`fused_moe_gemm`: one projection of each token by each of its experts, with aiter's epilogues.

`quantization`, what b [E, N, K] is then, and what becomes of rows of a:

    unquant            the type of a
    int8_w8a16         int8
    int8_w8a8          int8, and so become rows, as by `fused_experts`; sums of products are those of integers
    int4_w4a16         uint8 [E, N, K / 2], the code of the even row in the low half; each weight is
                       (code - zero) * scale, rounded to the type of a
    fp8_w8a16          a type of the target's fp8
    fp8_w8a8           likewise, and rows become e4m3, a / a_scale
    fp8_block_w8a16    fp8, a scale for each block of 128 x 128; each weight is code * scale, rounded to the type of a
    fp8_block_w8a8     likewise, and each 128 columns of a row become e4m3, with a scale, max |a| / the largest e4m3;
                       products of each 128 are multiplied by both scales and added, in fp32
    mxfp4              uint8 [E, N, K / 2], e2m1 codes, the even row in the low half, a scale for each 32 rows; rows
                       become e4m3 in blocks of 32 with scales that are powers of two, as `quantize_mx` does. Trn3
    mxfp8              likewise, float8_e4m3fn [E, N, K]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import FLOATS, UNQUANT, check_finite, check_routing, on_host
from nkimoe.ops.gemm_quantisation import E4M3, Quantisation
from nkimoe.ops.gemm_rows import checked_rows
from nkimoe.ops.gemm_weights import checked_weights
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.projection import Epilogue, Projection, Results
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of
from nkimoe.ops.run_grouped import run_grouped
from nkimoe.ops.tuned_choices import check_tuned
from nkimoe.planning.grouped_gemm.request import EPILOGUES, GELU, HALVED, SILU, SWIGLU, Weighting
from nkimoe.tuning.table import TunedRows
from nkimoe.weights.host_array import is_torch


@OnCores
def fused_moe_gemm(
    launch: Launch, a: Any, b: Any, topk_ids: Any, topk_weights: Any = None, *, epilogue: str | None = None,
    quantization: str = UNQUANT, b_scale: Any = None, zero_point: Any = None, group_size: int | None = None,
    a_scale: Any = None, bias: Any = None, doweight_stage1: bool = False, alpha: float = 1.0,
    limit: float | None = None, add_residual: bool = False, legacy_order: bool = False, out_dtype: str | None = None,
    out_scale: Any = None, reduce: bool = False, tuned: TunedRows | None = None,
) -> Any:  # fmt: skip
    """c[t, j] = epilogue(a[t] b[e] * scale[e] + bias[e]) * weight[t, j] for the expert e of (t, j); fp32, rounded once.

    Epilogues of a row v, whose first half is g and its second u:

        None: v      silu, gelu_mul: act(g) * u      gelu: gelu(v)
        swiglu: g * sigmoid(alpha * g) * (u, or u + 1), g even columns up to `limit`, u odd ones within it

    gelu is its tanh form. The result of a pair whose id is no expert is zero; an id that repeats has its results again.

    Args:
        a: [M, K] bf16 or fp16, NumPy or torch, K up to 16384; M may be 0. Or codes, with `a_scale`.
            Or [M, k, K], a row for each choice, such as an operation before this one leaves.
        b: [E, N, K], of the type that `quantization` says. It is turned on the host.
        topk_ids: [M, k] int32 or int64, k up to E. topk_weights: [M, k] float32; None: no weights.
        epilogue: None, "silu", "gelu_mul", "gelu" or "swiglu".
        quantization: "unquant", or another of this module's list.
        b_scale: float32 [E, N], or with a last dimension of 1; of fp8 also [E]; of blocks [E, N / 128, K / 128],
            rounded up; of int4 [E, N, K / group_size], also of the type of a. zero_point: of int4, uint8 [E, N / 2,
            K / group_size], that of the even column in the low half; None: 8. group_size: of int4. Of MX e8m0 codes
            [E, N, K / 32], uint8 or float8_e8m0fnu.
        a_scale: float32; of "fp8_w8a8" one number. Of "int8_w8a8" [M], if a is int8, and of "fp8_block_w8a8"
            [M, K / 128], rounded up, if a is e4m3: then they are what rows would become.
        bias: float32 [E, N], or None.
        doweight_stage1: weights multiply before bias and epilogue.
        alpha, limit, add_residual: of "swiglu".
        legacy_order: the values of aiter's kernels: with "silu" weights multiply, and all is rounded to the type of a,
            before the epilogue; with "gelu" and weights there is no epilogue.
        out_dtype: of c: "bfloat16", "float16", or, with `out_scale`, "int8", "float8_e4m3" or, on Trn3,
            "float8_e4m3fn": c / out_scale, to the nearest, saturated. None: the type of a, of codes bfloat16.
        out_scale: float32, one number. reduce: results of a token are added, in fp32 and in order.
        tuned: as of `fused_moe`; gated epilogues take the first stage of a layer's row.

    Returns:
        [M, k, N or N / 2], or [M, N or N / 2] with `reduce`, kind of a.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    check_tuned(tuned)
    require(epilogue in EPILOGUES, "epilogue", "is None, silu, gelu_mul, gelu or swiglu", repr(epilogue), "Pick one.")
    given = Quantisation(quantization, b_scale, zero_point, group_size, a_scale)
    rows = checked_rows(a, b, given)
    weights = checked_weights(b, rows.dtype, int(a.shape[-1]), 2 if epilogue in HALVED else 1, given, bias)
    ids, factors = _routing(shape_of("a", a), topk_ids, topk_weights, weights.sizes[0])
    weighting = _weighting(epilogue, topk_weights is not None, doweight_stage1, legacy_order, bias)
    if legacy_order and epilogue == GELU and topk_weights is not None:
        epilogue = None
    check_swiglu(epilogue, alpha, limit, add_residual)
    finish = Epilogue(epilogue, weighting, float(alpha), None if limit is None else float(limit), add_residual)
    projection, out = Projection(weights, finish), checked_out(out_dtype, rows.dtype, out_scale, a, reduce)
    (M, k), columns = shape_of("topk_ids", topk_ids), projection.columns
    results = run_grouped(launch, rows, projection, ids, factors, Results(*out, columns, k if reduce else None), tuned)
    return results.reshape((M, columns) if reduce else (M, k, columns))


def _routing(a: tuple[int, ...], topk_ids: Any, topk_weights: Any, experts: int) -> tuple[Any, Any]:
    """Ids and weights [rows, choices of a row] for rows of the shape `a`; ones for no weights."""
    all_ones = like(np.ones(shape_of("topk_ids", topk_ids), np.float32), topk_ids)
    ids, factors = check_routing(topk_ids, all_ones if topk_weights is None else topk_weights, a[0], experts)
    if len(a) == 2:
        return ids, factors
    require(a[1] == ids.shape[1], "a", f"has a row for each of the {ids.shape[1]} choices", a, "Or one for all.")
    return ids.reshape(-1, 1), factors.reshape(-1, 1)


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


def checked_out(out_dtype: str | None, of_rows: str, out_scale: Any, a: Any, reduce: bool) -> tuple[str, Any]:
    """The type of results, and 1 / out_scale as what `a` is, fp32 [1, 1], or None. Raises RequestError, InputError."""
    out_dtype = of_rows if out_dtype is None else out_dtype
    is_plain, fix = not reduce or out_scale is None, "Quantise the sums: downcast_to_static_fp8."
    require(is_plain, "reduce", "comes without out_scale", "both", fix)
    codes = ("int8", *E4M3)
    known = ", ".join((*FLOATS, *codes))
    require(out_dtype in (*FLOATS, *codes), "out_dtype", f"is {known}", repr(out_dtype), "Cast the result.")
    if is_torch(a):
        import torch

        require(hasattr(torch, out_dtype), "out_dtype", "is a type of torch", out_dtype, "Pass NumPy arrays.")
    is_coded, given = out_dtype in codes, "None" if out_scale is None else "it"
    rule = f"is given with out_dtype {', '.join(codes)}, and no other"
    require(is_coded == (out_scale is not None), "out_scale", rule, f"{given} with {out_dtype}", "Add or drop it.")
    if out_scale is None:
        return out_dtype, None
    count = math.prod(shape_of("out_scale", out_scale))
    found = count, dtype_of(out_scale)
    require(found == (1, "float32"), "out_scale", "is float32, one number", found, "Pass one a tensor.")
    check_finite("out_scale", out_scale)
    scale = on_host("out_scale", out_scale).reshape(1, 1)
    require(bool(scale.item() > 0), "out_scale", "is positive", scale.item(), "Calibrate it.")
    return out_dtype, like(np.float32(1) / scale, a)
