# SPDX-License-Identifier: Apache-2.0
"""Routers in NumPy: logits to the experts of each token and their weights. The definition; torch and NKI follow it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nkimoe.arrays import Floats
from nkimoe.routing.rule import EPSILON, GroupScore, RoutingRule, Score

Ints = npt.NDArray[np.int32]


def route(
    logits: npt.NDArray[Any], rule: RoutingRule, selection_bias: npt.NDArray[Any] | None = None
) -> tuple[Floats, Ints]:
    """Each token's experts as `rule` chooses them: (weights float32 [T, K], ids int32 [T, K]), computed in fp32.

    logits [T, E], any float dtype; -inf masks an expert. selection_bias [E] is added to scores for the choice only.

    Raises ValueError when the rule does not fit the shape, or a row holds NaN, +inf or only -inf.

    >>> weights, ids = route(np.array([[0.0, 2.0, 1.0, 2.0]]), RoutingRule(2, Score.SIGMOID, renormalize=False))
    >>> ids.tolist(), [[f"{weight:.3f}" for weight in row] for row in weights]
    ([[1, 3]], [['0.881', '0.881']])
    """
    rule.check(logits.shape)
    logits = logits.astype(np.float32)
    _check_rows(logits)
    score = _score(logits, rule.score)
    choice = score if selection_bias is None else score + np.asarray(selection_bias, np.float32)
    choice = np.where(np.isneginf(logits), -np.inf, choice)
    if rule.groups > 1:
        choice = np.where(_is_in_top_group(choice, rule), choice, -np.inf)
    ids = _largest(choice, rule.top_k)
    weights = np.take_along_axis(score, ids, axis=1)
    is_chosen = ~np.isneginf(np.take_along_axis(choice, ids, axis=1))
    if rule.score is Score.SOFTMAX_OF_CHOSEN:
        weights = _softmax(np.where(is_chosen, weights, -np.inf))
    weights = np.where(is_chosen, weights, np.float32(0))
    if rule.renormalize:
        weights = weights / (weights.sum(axis=1, keepdims=True) + np.float32(EPSILON))
    scaled: Floats = weights * np.float32(rule.scaling_factor)
    return scaled, ids.astype(np.int32)


def route_softmax_top_k(logits: npt.NDArray[Any], top_k: int, renormalize: bool = True) -> tuple[Floats, Ints]:
    """Return each token's top-k experts by softmax probability: (weights float32 [T, K], ids int32 [T, K]).

    logits [T, E], any float dtype; -inf masks an expert. The softmax is over all E, in fp32. A row
    descends by probability; equal probabilities ascend by id. renormalize divides each row of weights by its
    sum.

    Raises ValueError when logits is not [T, E], top_k is not in 1..E, or a row holds NaN, +inf or only -inf.

    >>> weights, ids = route_softmax_top_k(np.log([[0.2, 0.5, 0.3]]), top_k=2)
    >>> ids.tolist(), weights.round(3).tolist()
    ([[1, 2]], [[0.625, 0.375]])
    """
    return route(logits, RoutingRule(top_k, renormalize=renormalize))


def _score(logits: Floats, score: Score) -> Floats:
    result: Floats = {
        Score.SOFTMAX: _softmax,
        Score.SOFTMAX_OF_CHOSEN: lambda x: x,
        Score.SIGMOID: _sigmoid,
        Score.SQRT_SOFTPLUS: lambda x: np.sqrt(np.logaddexp(x, np.float32(0))),
        Score.IDENTITY: lambda x: x,
    }[score](logits)
    return result


def _sigmoid(logits: Floats) -> Floats:
    """The formula of torch and of the kernels: with another one, scores close to 0 and 1 tie elsewhere."""
    with np.errstate(over="ignore"):
        scores: Floats = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return scores


def _largest(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """Indices of the largest of each row, descending, equal ones ascending."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def _is_in_top_group(choice: Floats, rule: RoutingRule) -> npt.NDArray[np.bool_]:
    members = choice.reshape(len(choice), rule.groups, -1)
    if rule.group_score is GroupScore.MAX:
        best = members.max(axis=2)
    else:
        second, first = np.moveaxis(np.sort(members, axis=2)[:, :, -2:], 2, 0)
        best = first + np.where(np.isneginf(second), 0, second)
    stays = np.zeros(best.shape, bool)
    np.put_along_axis(stays, _largest(best, rule.top_groups), True, axis=1)
    return np.repeat(stays, members.shape[2], axis=1)


def _check_rows(logits: Floats) -> None:
    largest = logits.max(axis=1)
    unusable = np.flatnonzero(~np.isfinite(largest))
    if unusable.size:
        row = int(unusable[0])
        raise ValueError(
            f"each row of logits must have a finite largest value (no NaN, no +inf, not all -inf), "
            f"got {largest[row]} in row {row}; mask an expert with -inf, and leave each token one expert"
        )


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
