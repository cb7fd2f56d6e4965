# SPDX-License-Identifier: Apache-2.0
"""The kernels behind operations of one projection, and of two, one after the other."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.kernels.grouped_gemm import run_gemm, run_gemm_for_next
from nkimoe.kernels.shared_tensors import name_scope
from nkimoe.planning.grouped_gemm.plan import GemmPlan, make_gemm_plan
from nkimoe.planning.grouped_gemm.request import GemmOptions, GemmRequest, Groups


@nki.jit
def grouped_gemm(
    a: Any, a_scale: Any, b: Any, group_scale: Any, group_zero: Any, scale: Any, bias: Any, out_factor: Any,
    tokens: Any, positions: Any, weights: Any, block_to_expert: Any, options: GemmOptions,
) -> Any:  # fmt: skip
    """c[t * choices + j] = epilogue(a[t] b[e]) for each pair (t, j) that has a slot; arguments as of `GemmRequest`.

    Args:
        b: MX elements also as uint16 (mxfp4) or uint32 (mxfp8).
        group_scale, group_zero: of int4; or scales of blocks, and None.

    Returns:
        [M * choices, columns], or sums of its rows.
    """
    of_weights = _weights(b, group_scale, group_zero, options)
    slots = tokens, positions, weights, block_to_expert
    request = GemmRequest(a, a_scale, *of_weights, scale, bias, out_factor, *slots, options)
    return run_gemm(request, _plan(request))


@nki.jit
def two_stage_moe(
    a: Any, a_scale: Any, w1: Any, group_scale1: Any, group_zero1: Any, scale1: Any, bias1: Any, m_scale: Any, w2: Any,
    group_scale2: Any, group_zero2: Any, scale2: Any, bias2: Any, tokens: Any, positions: Any, weights: Any,
    block_to_expert: Any, first: GemmOptions, second: GemmOptions,
) -> Any:  # fmt: skip
    """Two grouped GEMMs: m has a row for each pair (t, j), and out[t] is the sum over j of m[t, j] w2[e] * weight.

    Returns:
        [M, columns of w2], dtype of a.
    """
    shared = positions, weights, block_to_expert
    with name_scope("two_stage_moe"):
        of_weights = _weights(w1, group_scale1, group_zero1, first)
        request = GemmRequest(a, a_scale, *of_weights, scale1, bias1, None, tokens, *shared, first)
        m = run_gemm_for_next(request, _plan(request))
        of_weights = _weights(w2, group_scale2, group_zero2, second)
        request = GemmRequest(m, m_scale, *of_weights, scale2, bias2, None, positions, *shared, second)
        return run_gemm(request, _plan(request))


def _weights(b: Any, group_scale: Any, group_zero: Any, options: GemmOptions) -> tuple[Any, Groups | None, Any]:
    """(b, groups, blocks) of a request."""
    packed = {"uint16": nl.float4_e2m1fn_x4, "uint32": nl.float8_e4m3fn_x4}.get(str(b.dtype))
    if packed is not None:
        return b.view(packed), None, group_scale
    if options.scaled_columns is not None:
        return b, None, group_scale
    return b, None if group_scale is None else Groups(group_scale, group_zero), None


def _plan(request: GemmRequest) -> GemmPlan:
    return make_gemm_plan(request, nl.num_programs(0), kernels.target())
