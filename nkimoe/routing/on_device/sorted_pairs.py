# SPDX-License-Identifier: Apache-2.0
"""`moe_sorting` as a kernel: pairs (token, choice) by expert, in blocks, without the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.planning.tiling import PARTITIONS, Span
from nkimoe.routing.on_device.counts import fill, filler_of
from nkimoe.routing.on_device.listed import load_ids, own_numbers
from nkimoe.routing.on_device.pair_order import PairOrder, check_countable, describe, scatter
from nkimoe.routing.sorting_rule import SortingRule


class _Sorted(NamedTuple):
    """The tables in HBM: int32, float32 [N * B], int32 [N], int32 [1]."""

    token_ids: Any
    weights: Any
    expert_ids: Any
    num_tokens_post_pad: Any


@nki.jit
def moe_sorting(
    topk_ids: Any,
    topk_weights: Any,
    n_experts: int,
    block_size: int,
    local_experts: tuple[int, ...] | None = None,
    local_tokens: Any = None,
    packed: bool = True,
) -> tuple[Any, Any, Any, Any]:
    """`nkimoe.routing.moe_sorting` on one core or two. Shapes follow from shapes, none from values.

    Args:
        topk_ids: [T, K] int32, K up to 256; ids outside 0..E-1 are skipped.
        topk_weights: [T, K] float32.
        n_experts: E, up to 4096.
        block_size: rows of a block.
        local_experts: the ids to keep, ascending; the result numbers them 0, 1, ... None: all.
        local_tokens: how many of the first tokens to keep, an int, or int32 [1] that is read when the kernel runs and
            must be in 0..T. None: all.
        packed: rows hold choice << 24 | token, pads K << 24 | tokens; False: tokens.

    Returns:
        (sorted_token_ids int32 [N * B], sorted_weights float32 [N * B], sorted_expert_ids int32 [N],
        num_tokens_post_pad int32 [1]), N = `SortingRule.block_count`; see `nkimoe.routing.SortedTokens`.

    Raises:
        RequestError: sizes out of range, or tensors of another shape or dtype.
    """
    is_static = local_tokens is None or isinstance(local_tokens, int)
    rule = SortingRule(n_experts, block_size, local_experts, local_tokens if is_static else None, packed)
    _check(topk_ids, topk_weights, rule)
    last_token = None if is_static else _on_all_partitions(local_tokens)
    tables = _tables(topk_ids, rule)
    _fill(tables, _pad(tables, topk_ids, rule, last_token), block_size)

    order = PairOrder(rule.experts, _loader(topk_ids, last_token), rule.token_count(int(topk_ids.shape[0])), block_size)
    for tokens in order.own:
        own = nl.ndarray((tokens.size, topk_ids.shape[1]), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=own, src=topk_weights[tokens.slice])
        places = order.places(tokens)
        for k in range(topk_ids.shape[1]):
            pair = Span(rule.row_id(tokens.start, k), tokens.size)
            scatter(tables.token_ids, own_numbers(pair, nl.int32), places[:, k : k + 1])
            scatter(tables.weights, own[:, k : k + 1], places[:, k : k + 1])
    describe(tables.expert_ids, tables.num_tokens_post_pad, order.last_block, block_size)
    return tuple(tables)


def _check(topk_ids: Any, topk_weights: Any, rule: SortingRule) -> None:
    shape = tuple(int(n) for n in topk_ids.shape)
    rule.check(shape)
    check_countable(topk_ids, rule.n_experts, rule.block_count(*shape), rule.block_size)
    given = (tuple(int(n) for n in topk_weights.shape), str(topk_weights.dtype))
    require(given == (shape, "float32"), "topk_weights", f"is float32 {shape}", given, "Cast or fix it.")


def _on_all_partitions(local_tokens: Any) -> Any:
    """int32 [128, 1] of int32 [1]."""
    given = (tuple(int(n) for n in local_tokens.shape), str(local_tokens.dtype))
    require(given == ((1,), "int32"), "local_tokens", "is an int or int32 [1]", given, "Cast or reshape it.")
    tile = nl.ndarray((PARTITIONS, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=local_tokens.ap(pattern=[[0, PARTITIONS], [1, 1]]))
    return tile


def _tables(topk_ids: Any, rule: SortingRule) -> _Sorted:
    N = rule.block_count(*(int(n) for n in topk_ids.shape))
    rows = N * rule.block_size
    with name_scope("moe_sorting"):
        return _Sorted(
            shared_tensor((rows,), nl.int32, "token_ids"),
            shared_tensor((rows,), nl.float32, "weights"),
            shared_tensor((N,), nl.int32, "expert_ids"),
            shared_tensor((1,), nl.int32, "num_tokens_post_pad"),
        )


def _pad(tables: _Sorted, topk_ids: Any, rule: SortingRule, last_token: Any) -> Any:
    """The tile that pads of ids are written from."""
    n_tokens, top_k = (int(n) for n in topk_ids.shape)
    by_block = tables.token_ids.reshape((tables.expert_ids.shape[0], rule.block_size))
    if last_token is None:
        return filler_of(by_block, rule.row_id(rule.token_count(n_tokens), top_k))
    filler = filler_of(by_block, 0)
    everywhere = last_token.ap(pattern=[[1, PARTITIONS], [0, filler.shape[1]]])
    # Bits, since arithmetic is fp32 and would round a packed id.
    nisa.tensor_scalar(dst=filler, data=everywhere, op0=nl.bitwise_or, operand0=rule.row_id(0, top_k))
    return filler


def _fill(tables: _Sorted, pad: Any, block_size: int) -> None:
    """No pad comes after a token."""
    shape = (tables.expert_ids.shape[0], block_size)
    weights = tables.weights.reshape(shape)
    fill(tables.token_ids.reshape(shape), pad)
    fill(weights, filler_of(weights, 0))
    if nl.num_programs(0) > 1:
        nisa.core_barrier(data=tables.token_ids, cores=(0, 1))
        nisa.core_barrier(data=tables.weights, cores=(0, 1))


def _loader(topk_ids: Any, last_token: Any) -> Callable[[Span], Any]:
    """How a tile of tokens gets its ids, fp32 [tokens, K]: -1 for tokens from `last_token` on."""
    if last_token is None:
        return lambda tokens: load_ids(topk_ids, tokens)

    def load(tokens: Span) -> Any:
        ids = load_ids(topk_ids, tokens)
        limit, is_local = (nl.ndarray((tokens.size, 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
        nisa.tensor_copy(dst=limit, src=last_token[: tokens.size])
        nisa.tensor_tensor(dst=is_local, data1=own_numbers(tokens, nl.float32), data2=limit, op=nl.less)
        nisa.tensor_scalar(dst=ids, data=ids, op0=nl.add, operand0=1.0, op1=nl.multiply, operand1=is_local)
        nisa.tensor_scalar(dst=ids, data=ids, op0=nl.add, operand0=-1.0)
        return ids

    return load
