# SPDX-License-Identifier: Apache-2.0
"""`moe_sorting`: pairs (token, choice) by expert, in blocks, as Composable Kernel lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import require
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routing_tensors import as_int32, check_integers, dtype_of, like, shape_of, values_of
from nkimoe.routing import SortedTokens, SortingRule, on_device
from nkimoe.routing import moe_sorting as moe_sorting_on_host
from nkimoe.routing.sorting_rule import is_count
from nkimoe.weights.host_array import is_torch


@OnCores
def moe_sorting(
    launch: Launch,
    topk_ids: Any,
    topk_weights: Any,
    n_experts: int,
    block_size: int,
    *,
    local_experts: Sequence[int] | Array | None = None,
    local_tokens: object = None,
    packed: bool = True,
) -> SortedTokens:
    """Each expert's tokens, ascending, filled up to blocks; experts ascend, and one without tokens has no block.

    Two cores share the tokens.

    Args:
        topk_ids: [T, K] int32 or int64, NumPy or torch, K up to E; T may be 0. Ids outside 0..E-1 are skipped; an id
            that a token lists twice has two rows, in the order of its choices.
        topk_weights: [T, K] float32; moved, never looked at.
        n_experts: E, up to 4096.
        block_size: rows of a block, CK's unit.
        local_experts: the experts of this rank, as ascending ids or a bool mask [E]; only their pairs are sorted, and
            the result numbers them 0, 1, ... None: all.
        local_tokens: how many of the first tokens are real, an int or int32 [1]; the others are skipped, and pads
            hold this number. A tensor is read by the kernel when it runs. None: T.
        packed: rows hold choice << 24 | token, pads K << 24 | T, so T is below 2**24 and K below 2**7; False: token, T.

    Returns:
        `nkimoe.routing.SortedTokens`, NumPy or torch as topk_ids: N * B rows, N = ceil((T * K + E * B - K) / B), which
        suffices for any routing. Surplus blocks have expert -1 and rows of pads.

    Raises:
        RequestError: a shape, data type, number or list out of range.
    """
    shape = shape_of("topk_ids", topk_ids)
    tokens = _Limit(local_tokens)
    rule = SortingRule(n_experts, block_size, _experts(local_experts, n_experts), tokens.on_host, packed)
    rule.check(shape)
    _check(topk_ids, topk_weights)
    options = (int(n_experts), int(block_size))
    if not shape[0]:  # a tensor on chip has a row or more
        empty = np.zeros(shape, np.int32)
        tokens_of, weights, experts, _ = moe_sorting_on_host(empty, empty, *options, packed=packed)
        return SortedTokens(like(tokens_of, topk_ids), like(weights, topk_ids), like(experts, topk_ids), 0)
    ids = as_int32(topk_ids, n_experts)
    tokens_of, weights, experts, rows = launch(
        on_device.moe_sorting, ids, topk_weights, *options, rule.local_experts, tokens.to_launch, packed
    )
    return SortedTokens(tokens_of, weights, experts, int(rows[0]))


class _Limit:
    """local_tokens as given.

    Attributes:
        on_host: the number, None if it is not known here or all tokens are meant.
        to_launch: what the kernel takes.
    """

    on_host: int | None
    to_launch: Any

    def __init__(self, local_tokens: Any) -> None:
        if local_tokens is None or is_count(local_tokens):
            self.on_host = self.to_launch = None if local_tokens is None else int(local_tokens)
            return
        given = (shape_of("local_tokens", local_tokens), dtype_of(local_tokens))
        require(given == ((1,), "int32"), "local_tokens", "is an int or int32 [1]", given, "Cast or reshape it.")
        values = values_of("local_tokens", local_tokens)
        self.on_host, self.to_launch = None if values is None else int(values[0]), local_tokens


def _experts(local_experts: Any, n_experts: int) -> tuple[int, ...] | None:
    """Ids of a list or of a mask."""
    if local_experts is None:
        return None
    if is_torch(local_experts):
        local_experts = local_experts.cpu().numpy()
    experts = np.asarray(local_experts)
    if experts.dtype == bool:
        rule, fix = f"is a mask [{n_experts}], or ids", "Pass a value for each expert."
        require(experts.shape == (n_experts,), "local_experts", rule, f"bool {experts.shape}", fix)
        experts = np.flatnonzero(experts)
    is_list = experts.ndim == 1 and (np.issubdtype(experts.dtype, np.integer) or not experts.size)
    fix = "Pass ascending ids, or a bool mask [E]; CK's mask of 0 and 1 is mask.astype(bool)."
    require(is_list, "local_experts", "is a list of integers or a bool mask", local_experts, fix)
    return tuple(int(expert) for expert in experts)


def _check(topk_ids: Any, topk_weights: Any) -> None:
    shape = shape_of("topk_ids", topk_ids)
    check_integers("topk_ids", topk_ids)
    given = (shape_of("topk_weights", topk_weights), dtype_of(topk_weights))
    require(given == (shape, "float32"), "topk_weights", f"is float32 {shape}", given, "Cast or fix it.")
    one_kind = is_torch(topk_ids) == is_torch(topk_weights)
    require(one_kind, "topk_weights", "is NumPy or torch as topk_ids", type(topk_weights).__name__, "Convert one.")
