# SPDX-License-Identifier: Apache-2.0
"""`e2e_moe`: both projections of each token's experts in one kernel, as aiter's."""

from __future__ import annotations

from typing import Any

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import UNQUANT, check_matrices, experts_of
from nkimoe.ops.expert_mask import check_local_routing
from nkimoe.ops.fused_moe import fused_moe
from nkimoe.ops.gemm_rows import check_rows
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routed import run_routed
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.planning.validate import MAX_HIDDEN


@OnCores
def e2e_moe(
    launch: Launch, a: Any, w1: Any, w2: Any, topk_ids: Any, topk_weights: Any, *, expert_mask: Any = None,
    block_size: int | None = None,
) -> Any:  # fmt: skip
    """out[t] = sum over j, in order, of (silu(g) * u) w2[e] * weight[t, j], where g and u are the halves of a[t] w1[e].

    In fp32, but silu(g) * u is rounded to the type of a before the second projection; the sum is rounded once, and has
    the same bits every time. What lies between the projections stays on chip, but for rows of more than 8,192 columns,
    which `fused_moe` takes, a projection after the other. Shared experts are experts of more ids.

    Args:
        a: [M, K] bf16 or fp16, NumPy or torch; M may be 0.
        w1: [E, N, K], gate rows first, and w2: [E, K, N / 2], of the type of a.
        topk_ids: [M, k] int32 or int64; a pair with an id that is no expert adds nothing. topk_weights: [M, k] float32.
        expert_mask: [all experts], 1 or True for the E that have weights here, in order; ids count all experts, and
            those of other ranks add nothing. None: E are all.
        block_size: slots that meet an expert's weights together; None chooses, and is all that long rows may have.

    Returns:
        [M, K], type and kind of a.

    Raises:
        RequestError: a shape, type or option out of range. InputError: NaN or infinite values.
    """
    M, K = check_rows("a", a)
    if K > MAX_HIDDEN:
        rule = f"is None for rows of more than {MAX_HIDDEN} columns"
        require(block_size is None, "block_size", rule, block_size, "Leave it out: fused_moe runs them, which chooses.")
        return fused_moe.launched_by(launch)(a, w1, w2, topk_weights, topk_ids, expert_mask=expert_mask)
    E, _ = check_matrices(w1, w2, K, (dtype_of(a),))
    ids, weights = check_local_routing(topk_ids, topk_weights, M, E, expert_mask)
    experts = experts_of(UNQUANT, w1, w2, (None, None))
    return run_routed(launch, a, experts, ids, weights, False, block_size)
