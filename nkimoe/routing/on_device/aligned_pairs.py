# SPDX-License-Identifier: Apache-2.0
"""`moe_align_block_size` as a kernel: numbers of pairs by expert, in blocks, without the host."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.planning.tiling import Span
from nkimoe.routing.mapping import static_block_count
from nkimoe.routing.on_device.counts import fill, filler_of
from nkimoe.routing.on_device.listed import load_ids
from nkimoe.routing.on_device.pair_order import PairOrder, check_countable, describe, scatter


@nki.jit
def moe_align_block_size(topk_ids: Any, n_experts: int, block_size: int) -> tuple[Any, Any, Any]:
    """`nkimoe.routing.moe_align_block_size` on one core or two. Shapes follow from shapes, none from values.

    Args:
        topk_ids: [T, K] int32, K up to 256; ids outside 0..E-1 are skipped.
        n_experts: E, up to 4096.
        block_size: B, rows of a block.

    Returns:
        (sorted_ids int32 [N * B], expert_ids int32 [N], num_tokens_post_pad int32 [1]), where N is
        `nkimoe.routing.static_block_count(T * K, 1, E, B)`; see `nkimoe.routing.AlignedIds`.

    Raises:
        RequestError: sizes out of range, or ids of another shape or dtype.
    """
    n_tokens, top_k, N = _checked(topk_ids, n_experts, block_size)
    with name_scope("moe_align_block_size"):
        sorted_ids = shared_tensor((N * block_size,), nl.int32, "sorted_ids")
        expert_ids = shared_tensor((N,), nl.int32, "expert_ids")
        num_tokens_post_pad = shared_tensor((1,), nl.int32, "num_tokens_post_pad")
    by_block = sorted_ids.reshape((N, block_size))
    fill(by_block, filler_of(by_block, n_tokens * top_k))
    if nl.num_programs(0) > 1:
        nisa.core_barrier(data=sorted_ids, cores=(0, 1))  # no pad comes after a pair

    order = PairOrder(tuple(range(n_experts)), lambda tokens: load_ids(topk_ids, tokens), n_tokens, block_size)
    for tokens in order.own:
        numbers, places = _pairs_of(tokens, top_k), order.places(tokens)
        for k in range(top_k):
            scatter(sorted_ids, numbers[:, k : k + 1], places[:, k : k + 1])
    describe(expert_ids, num_tokens_post_pad, order.last_block, block_size)
    return sorted_ids, expert_ids, num_tokens_post_pad


def _checked(topk_ids: Any, n_experts: int, block_size: int) -> tuple[int, int, int]:
    """T, K and N."""
    shape = tuple(int(n) for n in topk_ids.shape)
    require(len(shape) == 2 and min(shape) > 0, "topk_ids", "is [T, K], none of them 0", shape, "Reshape it.")
    for name, size in (("n_experts", n_experts), ("block_size", block_size)):
        require(size >= 1, name, "is positive", size, "Pass the layer's own.")
    n_tokens, top_k = shape
    N = static_block_count(n_tokens * top_k, 1, n_experts, block_size)
    check_countable(topk_ids, n_experts, N, block_size)
    return n_tokens, top_k, N


def _pairs_of(tokens: Span, top_k: int) -> Any:
    """int32 [tokens, K]: token * K + choice."""
    tile = nl.ndarray((tokens.size, top_k), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=tile, pattern=[[1, top_k]], offset=tokens.start * top_k, channel_multiplier=top_k)
    return tile
