# SPDX-License-Identifier: Apache-2.0
"""From logits to scores, and from the scores of chosen experts to their weights. Tiles are fp32 [tokens, columns]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.routing.on_device.largest import MASKED, copy_where
from nkimoe.routing.rule import EPSILON, RoutingRule, Score


def softmax(x: Any) -> Any:
    """exp(x - largest) over its sum."""
    lowered, exponentials = _like(x, 1), _like(x)
    nisa.tensor_reduce(dst=lowered, op=nl.maximum, data=x, axis=1, negate=True)
    nisa.activation(dst=exponentials, op=nl.exp, data=x, bias=lowered)
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
    rows, count = scores.shape
    is_chosen = nl.ndarray((rows, count), dtype=nl.uint8, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=is_chosen, data=choice, op0=nl.greater, operand0=MASKED)
    chosen, weights = copy_where(is_chosen, scores, rows, count)[:, :count], _like(scores)
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
    nisa.tensor_reduce(dst=total, op=nl.add, data=x, axis=1)
    nisa.tensor_scalar(dst=total, data=total, op0=nl.add, operand0=EPSILON)
    nisa.reciprocal(dst=total, data=total)
    nisa.tensor_scalar(dst=result, data=x, op0=nl.multiply, operand0=total)
    return result


def _activated(x: Any, op: Any) -> Any:
    result = _like(x)
    nisa.activation(dst=result, op=op, data=x)
    return result


def _like(x: Any, columns: int | None = None) -> Any:
    return nl.ndarray((x.shape[0], columns or x.shape[1]), dtype=nl.float32, buffer=nl.sbuf)
