"""The kernel behind operations of one projection."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.kernels.grouped_gemm import run_gemm
from nkimoe.planning.grouped_gemm.plan import make_gemm_plan
from nkimoe.planning.grouped_gemm.request import GemmOptions, GemmRequest, Groups


@nki.jit
def grouped_gemm(
    a: Any, a_scale: Any, b: Any, group_scale: Any, group_zero: Any, scale: Any, bias: Any, tokens: Any, positions: Any,
    weights: Any, block_to_expert: Any, options: GemmOptions,
) -> Any:  # fmt: skip
    """c[t * choices + j] = epilogue(a[t] b[e]) for each pair (t, j) that has a slot; arguments as of `GemmRequest`.

    Returns:
        [M * choices, columns], dtype of a.
    """
    groups = None if group_scale is None else Groups(group_scale, group_zero)
    request = GemmRequest(a, a_scale, b, groups, scale, bias, tokens, positions, weights, block_to_expert, options)
    return run_gemm(request, make_gemm_plan(request, nl.num_programs(0), kernels.target()))
