"""`fused_moe_gemm`: one projection of each token by each of its experts, with aiter's epilogues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import require
from nkimoe.ops.expert_arguments import (
    INT8_W8A8,
    UNQUANT,
    check_finite,
    check_routing,
    check_scale,
    check_tokens,
    on_host,
    padded,
)
from nkimoe.ops.gemm_layout import packed_columns, packed_weights
from nkimoe.ops.grouped_gemm import grouped_gemm
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of
from nkimoe.planning.grouped_gemm.pieces import MOST_ROWS, pieces_of
from nkimoe.planning.grouped_gemm.plan import BLOCK
from nkimoe.planning.grouped_gemm.request import EPILOGUES, GELU, HALVED, SILU, SWIGLU, GemmOptions, Weighting
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import pair_blocks
from nkimoe.weights.host_array import is_torch
from nkimoe.weights.int8 import exact_rows_of

INT8_W8A16 = "int8_w8a16"
QUANTISATIONS = (UNQUANT, INT8_W8A16, INT8_W8A8)


@OnCores
def fused_moe_gemm(
    launch: Launch, a: Any, b: Any, topk_ids: Any, topk_weights: Any = None, *, epilogue: str | None = None,
    quantization: str = UNQUANT, b_scale: Any = None, bias: Any = None, doweight_stage1: bool = False,
    alpha: float = 1.0, limit: float | None = None, add_residual: bool = False, legacy_order: bool = False,
) -> Any:  # fmt: skip
    """c[t, j] = epilogue(a[t] b[e] * scale[e] + bias[e]) * weight[t, j], in fp32, rounded once; e is the expert of (t, j).

    | epilogue | of v [N] | columns |
    |---|---|---|
    | None | v | N |
    | "silu", "gelu_mul" | act(g) * u, g the first half of v, u the second | N / 2 |
    | "gelu" | gelu(v) | N |
    | "swiglu" | g * sigmoid(alpha g) * u, g the even columns up to `limit`, u the odd ones within it, or u + 1 | N / 2 |

    gelu is its tanh form. The result of a pair whose id is no expert is zero; an id that repeats is computed again.

    Args:
        a: [M, K] bf16 or fp16, NumPy or torch, K up to 16384; M may be 0.
        b: [E, N, K], of the type of a, or int8.
        topk_ids: [M, k] int32 or int64, k up to E.
        topk_weights: [M, k] float32; None: no weights.
        epilogue: one of the table.
        quantization: "unquant"; "int8_w8a16", int8 weights alone; or "int8_w8a8": a becomes int8 row by row as by
            `fused_experts`, and sums of products are those of integers.
        b_scale: float32 [E, N] or [E, N, 1], of int8 weights.
        bias: float32 [E, N], or None.
        doweight_stage1: weights multiply before bias and epilogue.
        alpha, limit, add_residual: of "swiglu".
        legacy_order: the values of aiter's kernels: with "silu", weights multiply, and round to the type of a, before the
            epilogue; with "gelu" and weights there is no epilogue.

    Returns:
        [M, k, N or N / 2], type and kind of a.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    M, K = check_tokens(a, "a")
    require(0 < K <= MOST_ROWS, "a", f"has 1 to {MOST_ROWS} columns", K, "Split the contraction.")
    require(
        quantization in QUANTISATIONS, "quantization", f"is {', '.join(QUANTISATIONS)}", repr(quantization),
        "Dequantise other weights first.",
    )  # fmt: skip
    require(epilogue in EPILOGUES, "epilogue", "is None, silu, gelu_mul, gelu or swiglu", repr(epilogue), "Pick one.")
    E, N = _check_b(a, b, quantization, 2 if epilogue in HALVED else 1)
    given = np.ones(shape_of("topk_ids", topk_ids), np.float32) if topk_weights is None else topk_weights
    ids, weights = check_routing(topk_ids, given, M, E)
    scale = _check_scale(b_scale, quantization, (E, N))
    if bias is not None:
        bias = check_scale("bias", bias, (E, N))
    order = _weighting(epilogue, topk_weights is not None, doweight_stage1, legacy_order, bias)
    if legacy_order and epilogue == GELU and topk_weights is not None:
        epilogue = None
    _check_swiglu(epilogue, alpha, limit, add_residual)
    gemm = GroupedGemm(
        b, scale, bias, epilogue, order, quantization, float(alpha), None if limit is None else float(limit),
        add_residual,
    )  # fmt: skip
    return run_grouped(launch, a, gemm, ids, weights)


@dataclass(frozen=True, eq=False)
class GroupedGemm:
    """One projection with checked weights; attributes as arguments of `fused_moe_gemm`."""

    b: Any
    scale: Any
    bias: Any
    epilogue: str | None
    weighting: Weighting
    quantization: str
    alpha: float = 1.0
    limit: float | None = None
    add_residual: bool = False

    @property
    def columns(self) -> int:
        """Of the result."""
        return int(self.b.shape[1]) // (2 if self.epilogue in HALVED else 1)


def run_grouped(launch: Launch, a: Any, gemm: GroupedGemm, ids: Array, weights: Array) -> Any:
    """c [M, k, columns] of checked arguments; ids and weights [M, k] on the host."""
    (M, k), K, E = ids.shape, int(a.shape[1]), int(gemm.b.shape[0])
    blocks = pair_blocks(ids, weights, E, BLOCK)
    if not blocks.block_to_expert.size:
        shape = (M, k, gemm.columns)
        return a.new_zeros(shape) if is_torch(a) else np.zeros(shape, a.dtype)
    options = GemmOptions(
        dtype_of(a), gemm.columns, k, blocks.has_gaps, gemm.epilogue, gemm.weighting, gemm.alpha, gemm.limit,
        gemm.add_residual, gemm.quantization == INT8_W8A8,
        exact_rows_of(on_host("b", gemm.b).swapaxes(1, 2)) if gemm.quantization == INT8_W8A8 else None,
    )  # fmt: skip
    pieces = pieces_of(K, gemm.columns, options.halves, dtype_of(gemm.b) == "int8")
    interleaved = gemm.epilogue == SWIGLU
    b = packed_weights(gemm.b, pieces, interleaved)
    vectors = (None if v is None else packed_columns(v, pieces, interleaved) for v in (gemm.scale, gemm.bias))
    tables = (like(t, a) for t in (blocks.tokens, blocks.positions, blocks.weights, blocks.block_to_expert))
    rows = launch(grouped_gemm, padded(a, pieces.rows * PARTITIONS), b, *vectors, *tables, options)
    return rows.reshape(M, k, gemm.columns)


def _check_b(a: Any, b: Any, quantization: str, halves: int) -> tuple[int, int]:
    """(E, N)."""
    shape, K = shape_of("b", b), int(a.shape[1])
    is_right = len(shape) == 3 and shape[0] > 0 and shape[1] > 0 and shape[1] % halves == 0 and shape[2] == K
    rule = f"is [E, {'N' if halves == 1 else 'N, even'}, {K}]"
    require(is_right, "b", rule, shape, "Stack the experts, output columns before the contraction.")
    wanted = dtype_of(a) if quantization == UNQUANT else "int8"
    require(dtype_of(b) == wanted, "b", f"is {wanted} with {quantization}", dtype_of(b), "Cast or quantise it.")
    check_finite("b", b)
    return shape[0], shape[1]


def _check_scale(b_scale: Any, quantization: str, shape: tuple[int, int]) -> Any:
    if quantization == UNQUANT:
        require(b_scale is None, "b_scale", "is for quantised weights", quantization, "Drop it.")
        return None
    require(b_scale is not None, "b_scale", f"is given with {quantization}", "None", "Pass ones if there is none.")
    return check_scale("b_scale", b_scale, shape)


def _weighting(epilogue: str | None, weighted: bool, doweight_stage1: bool, legacy_order: bool, bias: Any) -> Weighting:
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


def _check_swiglu(epilogue: str | None, alpha: float, limit: float | None, add_residual: bool) -> None:
    require(math.isfinite(alpha), "alpha", "is finite", alpha, "gpt-oss has 1.702.")
    require(limit is None or (math.isfinite(limit) and limit > 0), "limit", "is positive, or None", limit, "Drop it.")
    require(isinstance(add_residual, bool), "add_residual", "is True or False", repr(add_residual), "Pass a bool.")
    is_default = (alpha, limit, add_residual) == (1.0, None, False)
    rule, fix = f"comes with {SWIGLU}", "Drop alpha, limit and add_residual."
    require(is_default or epilogue == SWIGLU, "epilogue", rule, repr(epilogue), fix)
