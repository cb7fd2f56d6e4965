# SPDX-License-Identifier: Apache-2.0
"""Routers in torch: the steps of `nkimoe.routing.route`, differentiable in the weights, shapes known beforehand."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nkimoe.routing.rule import EPSILON, GroupScore, RoutingRule, Score


def route(logits: Tensor, rule: RoutingRule, selection_bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(weights float32 [T, K], ids int64 [T, K]); see `nkimoe.routing.route`.

    Rows without a finite logit cannot be refused here, where values are not looked at: their weights are 0 or NaN.

    Raises ValueError when the rule does not fit the shape.
    """
    rule.check(tuple(logits.shape))
    logits = logits.float()
    score = _score(logits, rule.score)
    nothing = torch.full_like(logits, -torch.inf)
    choice = score if selection_bias is None else score + selection_bias.float()
    choice = torch.where(torch.isneginf(logits), nothing, choice).detach()
    if rule.groups > 1:
        choice = torch.where(_is_in_top_group(choice, rule), choice, nothing)
    ids = _largest(choice, rule.top_k)
    weights, is_chosen = score.gather(1, ids), ~torch.isneginf(choice.gather(1, ids))
    if rule.score is Score.SOFTMAX_OF_CHOSEN:
        weights = weights.masked_fill(~is_chosen, -torch.inf).softmax(dim=1)
    weights = weights.masked_fill(~is_chosen, 0)
    if rule.renormalize:
        weights = weights / (weights.sum(dim=1, keepdim=True) + EPSILON)
    return weights * rule.scaling_factor, ids


def _score(logits: Tensor, score: Score) -> Tensor:
    if score is Score.SOFTMAX:
        return logits.softmax(dim=1)
    if score is Score.SIGMOID:
        return logits.sigmoid()
    if score is Score.SQRT_SOFTPLUS:
        return softplus(logits).sqrt()
    return logits


def _largest(values: Tensor, count: int) -> Tensor:
    """`torch.topk` promises no order among equal values, a stable sort does."""
    return values.sort(dim=1, descending=True, stable=True).indices[:, :count]


def _is_in_top_group(choice: Tensor, rule: RoutingRule) -> Tensor:
    members = choice.unflatten(1, (rule.groups, -1))
    best = members.amax(dim=2)
    if rule.group_score is GroupScore.TOP_2_SUM:
        second = members.topk(2, dim=2).values[:, :, 1]
        best = best + second.masked_fill(torch.isneginf(second), 0)
    stays = torch.zeros_like(best, dtype=torch.bool).scatter(1, _largest(best, rule.top_groups), True)
    return stays.repeat_interleave(members.shape[2], dim=1)
