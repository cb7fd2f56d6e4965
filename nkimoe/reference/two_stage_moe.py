# SPDX-License-Identifier: Apache-2.0
"""The definition of `nkimoe.ops.e2e_moe` and `fused_moe` in NumPy, of pairs one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference

EPILOGUES = {"silu": "silu", "gelu": "gelu_mul", "swiglu": "swiglu"}


def two_stage_moe_reference(
    hidden_states: Array, w1: Array, w2: Array, topk_weights: Floats, topk_ids: Array, *, activation: str = "silu",
    doweight_stage1: bool = False, expert_mask: Array | None = None, of_first: dict[str, Any] | None = None,
    of_second: dict[str, Any] | None = None,
) -> Floats:  # fmt: skip
    """float32 [M, H], not yet rounded to the type of hidden_states.

    Args:
        of_first, of_second: arguments of `fused_moe_gemm_reference` for each projection.
    """
    (M, k), ids = topk_ids.shape, topk_ids
    if expert_mask is not None:
        here = np.flatnonzero(expert_mask).tolist()
        ids = np.array([[here.index(e) if e in here else -1 for e in row] for row in topk_ids.tolist()]).reshape(M, k)
    m = fused_moe_gemm_reference(
        hidden_states, w1, ids, topk_weights if doweight_stage1 else None, epilogue=EPILOGUES[activation],
        doweight_stage1=doweight_stage1, **(of_first or {}),
    ).astype(hidden_states.dtype)  # fmt: skip
    weights = None if doweight_stage1 else topk_weights.reshape(-1, 1)
    rows = m.reshape(M * k, m.shape[2])
    results = fused_moe_gemm_reference(rows, w2, ids.reshape(-1, 1), weights, **(of_second or {}))
    total: Floats = results.reshape(M, k, w2.shape[1]).sum(axis=1)
    return total
