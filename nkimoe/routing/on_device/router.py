# SPDX-License-Identifier: Apache-2.0
"""`route` as a kernel: any `RoutingRule`, in the steps that it lists."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import RequestError, require
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.routing.on_device.choices import like, load_tiles, own_tokens, store_choices
from nkimoe.routing.on_device.groups import in_top_groups
from nkimoe.routing.on_device.largest import AT_ONCE, FOUND, MASKED, Largest, largest
from nkimoe.routing.on_device.listed import at_ids, numbers
from nkimoe.routing.on_device.scores import SCORES, weights_of
from nkimoe.routing.rule import RoutingRule

FLOATS = ("float32", "bfloat16", "float16")
LOGITS_BYTES = 8192  # of a partition, of tokens whose experts are chosen at a time
MOST_EXPERTS = 4096  # a tile of 128 tokens takes some ten rows of fp32 of each partition


@nki.jit
def route(logits: Any, rule: RoutingRule, selection_bias: Any = None) -> tuple[Any, Any]:
    """`nkimoe.routing.route` on any number of cores, which share the tokens.

    In fp32. Rows that NumPy refuses, with NaN or without a finite logit, give ids and weights that mean nothing.

    Args:
        logits: [T, E] float32, bfloat16 or float16, E up to 4096; -inf masks an expert.
        rule: how experts are chosen.
        selection_bias: [E] float32, or None.

    Returns:
        (weights float32 [T, K], ids int32 [T, K]), descending by choice, equal ones ascending by id.

    Raises:
        RequestError: the rule does not fit the shape, or sizes or dtypes are out of range.
    """
    _check(logits, rule, selection_bias)
    n_tokens, n_experts = logits.shape
    with name_scope("route"):
        weights = shared_tensor((n_tokens, rule.top_k), nl.float32, "weights")
        ids = shared_tensor((n_tokens, rule.top_k), nl.int32, "ids")
    columns, bias = numbers(n_experts), _bias(selection_bias, n_experts)
    own = own_tokens(n_tokens)
    for tokens in spans(own.size, tiles_at_once(n_experts) * PARTITIONS, own.start):
        score, chosen = _choose(_load(logits, tokens), rule, columns, bias)
        scores = chosen.values if bias is None else _scores_at(score, columns, chosen.ids)
        store_choices(weights, weights_of(scores, chosen.values, rule), tokens)
        whole = nl.ndarray(tuple(chosen.ids.shape), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=whole, src=chosen.ids)
        store_choices(ids, whole, tokens)
    return weights, ids


def _check(logits: Any, rule: RoutingRule, selection_bias: Any) -> None:
    shape = tuple(int(n) for n in logits.shape)
    try:
        rule.check(shape)
    except ValueError as error:
        raise RequestError("rule", "fits the logits", f"{rule} for {shape}: {error}", "Change one of them.") from None
    require(str(logits.dtype) in FLOATS, "logits", f"is {', '.join(FLOATS)}", logits.dtype, "Cast it.")
    fix = "Route on the host with nkimoe.routing."
    require(shape[1] <= MOST_EXPERTS, "logits", f"has up to {MOST_EXPERTS} experts", shape[1], fix)
    if selection_bias is not None:
        given = (tuple(int(n) for n in selection_bias.shape), str(selection_bias.dtype))
        require(given == ((shape[1],), "float32"), "selection_bias", f"is float32 [{shape[1]}]", given, "Fix it.")


def _bias(selection_bias: Any, n_experts: int) -> Any:
    """fp32 [128, E], equal rows; or None."""
    if selection_bias is None:
        return None
    tile = nl.ndarray((PARTITIONS, n_experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=selection_bias.ap(pattern=[[0, PARTITIONS], [1, n_experts]]))
    return tile


def tiles_at_once(n_experts: int) -> int:
    """Tiles of tokens that the same instructions route."""
    return max(1, LOGITS_BYTES // (4 * n_experts))


def _load(logits: Any, tokens: Span) -> Any:
    """fp32 [128, n, E], in which -inf is MASKED."""
    raw = load_tiles(logits, tokens, MASKED)
    x = like(raw)
    nisa.tensor_scalar(dst=x, data=raw, op0=nl.maximum, operand0=MASKED)
    return x


def _choose(x: Any, rule: RoutingRule, columns: Any, bias: Any) -> tuple[Any, Largest]:
    """All scores, and the chosen experts with what they were chosen by, both [128, n, columns]."""
    _, tiles, n_experts = x.shape
    score = SCORES[rule.score](x)
    choice, is_there = score, nl.ndarray(tuple(x.shape), dtype=nl.uint8, buffer=nl.sbuf)
    if bias is not None:
        choice = like(x)
        everywhere = bias.ap(pattern=[[n_experts, PARTITIONS], [0, tiles], [1, n_experts]])
        nisa.tensor_tensor(dst=choice, data1=score, data2=everywhere, op=nl.add)
    nisa.tensor_scalar(dst=is_there, data=x, op0=nl.greater, operand0=MASKED)
    by_tile = _copy_where(is_there, choice)
    chosen = Largest(*(nl.ndarray((PARTITIONS, tiles, rule.top_k), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2)))
    for n in range(tiles):
        own = by_tile[:, n, :]
        best = largest(in_top_groups(own, n_experts, rule, columns) if rule.groups > 1 else own, rule.top_k)
        for dst, found in zip(chosen, best, strict=True):
            nisa.tensor_copy(dst=dst[:, n, :], src=found, engine=nisa.engine.scalar)
    return score, chosen


def _copy_where(is_there: Any, choice: Any) -> Any:
    """fp32 [128, n, E], but eight columns at least: `choice` where it may be chosen, elsewhere MASKED.

    FOUND is in columns that are no expert.
    """
    _, tiles, n_experts = choice.shape
    result = nl.ndarray((PARTITIONS, tiles, max(AT_ONCE, n_experts)), dtype=nl.float32, buffer=nl.sbuf)
    if n_experts < AT_ONCE:
        nisa.memset(dst=result, value=FOUND)
    part = result[:, :, :n_experts]
    nisa.memset(dst=part, value=MASKED, engine=nisa.engine.gpsimd)
    nisa.tensor_copy_predicated(dst=part, src=choice, predicate=is_there)
    return result


def _scores_at(score: Any, columns: Any, ids: Any) -> Any:
    """fp32 [128, n, K]: the scores of chosen experts."""
    result = like(ids)
    for n in range(ids.shape[1]):
        nisa.tensor_copy(dst=result[:, n, :], src=at_ids(columns, score[:, n, :], ids[:, n, :]))
    return result
