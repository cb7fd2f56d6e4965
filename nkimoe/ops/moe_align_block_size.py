# SPDX-License-Identifier: Apache-2.0
"""`moe_align_block_size`: numbers of pairs by expert, in blocks, as SGLang, vLLM and aiter lay them out."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routing_tensors import as_int32, check_integers, like, shape_of
from nkimoe.routing import on_device
from nkimoe.routing.on_device.pair_order import MOST_EXPERTS
from nkimoe.routing.sorting_rule import is_count


@OnCores
def moe_align_block_size(launch: Launch, topk_ids: Any, num_experts: int, block_size: int) -> tuple[Any, Any, int]:
    """Each expert's pairs, ascending, filled up to blocks; experts ascend, and one without tokens has no block.

    Two cores share the tokens.

    Args:
        topk_ids: [T, K] int32 or int64, NumPy or torch, K up to E; T may be 0. Ids outside 0..E-1, such as -1, are
            skipped; an id that a token lists twice has two rows.
        num_experts: E, up to 4096.
        block_size: B, rows of a block.

    Returns:
        (sorted_ids int32 [N * B], expert_ids int32 [N], num_tokens_post_pad), arrays NumPy or torch as topk_ids. A row
        holds token * K + choice, T * K in pads; a block has its expert; the number counts rows in use. N suffices for
        any routing; surplus blocks have expert -1, so that nobody loads weights for them, and rows of pads.

    Raises:
        RequestError: a shape, data type or number out of range.
    """
    n_tokens = _check(topk_ids, num_experts, block_size)
    if not n_tokens:  # a tensor on chip has a row or more
        empty = np.zeros(0, np.int32)
        return like(empty, topk_ids), like(empty, topk_ids), 0
    ids = as_int32(topk_ids, num_experts)
    sorted_ids, experts, rows = launch(on_device.moe_align_block_size, ids, int(num_experts), int(block_size))
    return sorted_ids, experts, int(rows[0])


def _check(topk_ids: Any, num_experts: int, block_size: int) -> int:
    """T."""
    shape = shape_of("topk_ids", topk_ids)
    require(len(shape) == 2, "topk_ids", "is [T, K]", shape, "Reshape one expert a token to [T, 1].")
    check_integers("topk_ids", topk_ids)
    is_right = is_count(num_experts) and 1 <= num_experts <= MOST_EXPERTS
    fix = "More experts are aligned on the host by nkimoe.routing."
    require(is_right, "num_experts", f"is 1 to {MOST_EXPERTS}", num_experts, fix)
    is_right = is_count(block_size) and block_size >= 1
    require(is_right, "block_size", "is a positive integer", block_size, "Pass the layer's own.")
    n_tokens, top_k = shape
    rule = f"has 1 to E = {num_experts} choices a token"
    require(1 <= top_k <= num_experts, "topk_ids", rule, f"K = {top_k}", "Check num_experts, and [T, K].")
    return n_tokens
