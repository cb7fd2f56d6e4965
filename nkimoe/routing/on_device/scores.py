# SPDX-License-Identifier: Apache-2.0
"""From logits to scores, and from the scores of chosen experts to weights. Tiles are fp32 [tokens, tiles, columns]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.routing.on_device.largest import MASKED
from nkimoe.routing.rule import EPSILON, RoutingRule, Score


def softmax(x: Any) -> Any:
    """exp(x - largest) over its sum."""
    largest, lowered, exponentials = _like(x, 1), _like(x), _like(x)
    nisa.tensor_reduce(dst=largest, op=nl.maximum, data=x, axis=2)
    nisa.tensor_tensor(dst=lowered, data1=x, data2=largest.broadcast(2, x.shape[2]), op=nl.subtract)
    nisa.activation(dst=exponentials, op=nl.exp, data=lowered)
    return over_sum(exponentials)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return _activated(x, nl.sigmoid)


def sqrt_softplus(x: Any) -> Any:
    """sqrt(log(1 + exp(x)))."""
    return _activated(_activated(x, nl.softplus), nl.sqrt)


def identity(x: Any) -> Any:
    """The logits."""
    return x


SCORES: dict[Score, Callable[[Any], Any]] = {
    Score.SOFTMAX: softmax,
    Score.SOFTMAX_OF_CHOSEN: identity,
    Score.SIGMOID: sigmoid,
    Score.SQRT_SOFTPLUS: sqrt_softplus,
    Score.IDENTITY: identity,
}


def weights_of(scores: Any, choice: Any, rule: RoutingRule) -> Any:
    """The weights of chosen experts with these scores; those whose choice is MASKED have weight 0."""
    is_chosen = nl.ndarray(tuple(scores.shape), dtype=nl.uint8, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=is_chosen, data=choice, op0=nl.greater, operand0=MASKED)
    chosen, weights = _like(scores), _like(scores)
    nisa.memset(dst=chosen, value=MASKED)
    nisa.tensor_copy_predicated(dst=chosen, src=scores, predicate=is_chosen)
    if rule.score is Score.SOFTMAX_OF_CHOSEN:
        chosen = softmax(chosen)
    nisa.tensor_tensor(dst=weights, data1=chosen, data2=is_chosen, op=nl.multiply)
    if rule.renormalize:
        weights = over_sum(weights)
    scaled = _like(weights)
    nisa.tensor_scalar(dst=scaled, data=weights, op0=nl.multiply, operand0=rule.scaling_factor)
    return scaled


def over_sum(x: Any) -> Any:
    """Rows over their sums."""
    total, result = _like(x, 1), _like(x)
    nisa.tensor_reduce(dst=total, op=nl.add, data=x, axis=2)
    nisa.tensor_scalar(dst=total, data=total, op0=nl.add, operand0=EPSILON)
    nisa.reciprocal(dst=total, data=total)
    nisa.tensor_tensor(dst=result, data1=x, data2=total.broadcast(2, x.shape[2]), op=nl.multiply)
    return result


def _activated(x: Any, op: Any) -> Any:
    result = _like(x)
    nisa.activation(dst=result, op=op, data=x)
    return result


def _like(x: Any, columns: int | None = None) -> Any:
    return nl.ndarray((*x.shape[:-1], columns or x.shape[-1]), dtype=nl.float32, buffer=nl.sbuf)
