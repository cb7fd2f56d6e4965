"""`route_top_k`, the router of prefill as a kernel: softmax over all experts, then the K best of each token."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import RequestError
from nkimoe.tiling import PARTITIONS, Span, spans

AT_ONCE = 8  # values that Vector Engine finds in one pass


@nki.jit
def route_top_k(logits: Any, top_k: int, renormalize: bool = True) -> Any:
    """Each token's experts by softmax probability, as `nkimoe.routing.route_softmax_top_k` defines them.

    Launch on any number of cores; they take turns at tiles of 128 tokens.

    Args:
        logits: [T, E] float32, E from 8 to 16384; -inf masks an expert, but a row needs a finite one.
        top_k: K, 1 to 8.
        renormalize: divide each row of weights by its sum.

    Returns:
        (weights float32 [T, K], ids int32 [T, K]), descending by probability, equal ones ascending by id.

    Raises:
        RequestError: sizes or dtype out of range.
    """
    n_tokens, n_experts = logits.shape
    for argument, rule, holds, actual in (
        ("top_k", f"is 1 to {AT_ONCE}", 1 <= top_k <= AT_ONCE, top_k),
        ("logits", "has 8 to 16384 experts", 8 <= n_experts <= 16384, n_experts),
        ("logits", "is float32", str(logits.dtype) == "float32", logits.dtype),
    ):
        if not holds:
            raise RequestError(argument, rule, actual, "Route on the host with nkimoe.routing, or pad with -inf.")
    weights = nl.ndarray((n_tokens, top_k), dtype=nl.float32, buffer=nl.shared_hbm)
    ids = nl.ndarray((n_tokens, top_k), dtype=nl.int32, buffer=nl.shared_hbm)
    for number, tokens in enumerate(spans(n_tokens, PARTITIONS)):
        if number % nl.num_programs(0) == nl.program_id(0):
            best, places = _best_of(_probabilities(logits, tokens))
            shares = _renormalised(best, top_k) if renormalize else best
            nisa.dma_copy(dst=weights[tokens.slice], src=shares[:, :top_k])
            nisa.dma_copy(dst=ids[tokens.slice], src=places[:, :top_k])
    return weights, ids


def _probabilities(logits: Any, tokens: Span) -> Any:
    """[tokens, E]: exp(x - largest) over its sum."""
    shape = (tokens.size, logits.shape[1])
    x, exponentials = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.dma_copy(dst=x, src=logits[tokens.slice])
    lowered = nl.ndarray((tokens.size, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=lowered, op=nl.maximum, data=x, axis=1, negate=True)
    nisa.activation(dst=exponentials, op=nl.exp, data=x, bias=lowered)
    return _renormalised(exponentials, logits.shape[1])


def _best_of(probabilities: Any) -> tuple[Any, Any]:
    """The eight largest of each row, and where they are (int32): equal ones at successive places."""
    shape = (probabilities.shape[0], AT_ONCE)
    best = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    places = nl.ndarray(shape, dtype=nl.uint32, buffer=nl.sbuf)
    signed = nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf)
    nisa.max8(dst=best, src=probabilities)
    nisa.nc_find_index8(dst=places, data=probabilities, vals=best)
    nisa.tensor_copy(dst=signed, src=places)
    return best, signed


def _renormalised(values: Any, count: int) -> Any:
    """The first `count` columns over their sum."""
    total = nl.ndarray((values.shape[0], 1), dtype=nl.float32, buffer=nl.sbuf)
    result = nl.ndarray((values.shape[0], count), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=total, op=nl.add, data=values[:, :count], axis=1)
    nisa.reciprocal(dst=total, data=total)
    nisa.tensor_scalar(dst=result, data=values[:, :count], op0=nl.multiply, operand0=total)
    return result
