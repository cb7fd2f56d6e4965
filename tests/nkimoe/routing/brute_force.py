"""Routing a token at a time in plain Python floats, from the published descriptions: the oracle."""

import math

from hypothesis import strategies as st

from nkimoe.routing import GroupScore, RoutingRule, Score

SCORES = {
    Score.SIGMOID: lambda x: 1 / (1 + math.exp(-x)),
    Score.SQRT_SOFTPLUS: lambda x: math.sqrt(math.log1p(math.exp(x))),
    Score.IDENTITY: lambda x: x,
    Score.SOFTMAX_OF_CHOSEN: lambda x: x,
}


def softmax(values):
    exponentials = [math.exp(v) for v in values]
    return [e / sum(exponentials) for e in exponentials]


def brute_force(row, rule, bias):
    """(weights, ids) of one token; masked experts are simply not there, and fill up rows at the end with weight 0."""
    there = [e for e, logit in enumerate(row) if logit != -math.inf]
    if rule.score is Score.SOFTMAX:
        score = dict(zip(there, softmax([row[e] for e in there]), strict=True))
    else:
        score = {e: SCORES[rule.score](row[e]) for e in there}
    choice = {e: score[e] + bias[e] for e in there}
    if rule.groups > 1:
        size = len(row) // rule.groups
        members = [[choice[e] for e in there if e // size == g] for g in range(rule.groups)]
        count = 1 if rule.group_score is GroupScore.MAX else 2
        value = [sum(sorted(group)[-count:]) if group else -math.inf for group in members]
        rank = sorted(range(rule.groups), key=lambda g: (-value[g], g))
        stays = rank[: rule.top_groups]
        there = [e for e in there if e // size in stays]
    ids = sorted(there, key=lambda e: (-choice[e], e))[: rule.top_k]
    weights = softmax([score[e] for e in ids]) if rule.score is Score.SOFTMAX_OF_CHOSEN else [score[e] for e in ids]
    ids += [e for e in range(len(row)) if e not in there][: rule.top_k - len(ids)]
    weights += [0.0] * (rule.top_k - len(weights))
    total = sum(weights) if rule.renormalize else 1
    return [w / total * rule.scaling_factor for w in weights], ids


@st.composite
def cases(draw):
    """(logits, rule, bias): logits on a grid, so that many tie, none so close that fp32 decides otherwise."""
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    n_experts = groups * draw(st.integers(2, 5))
    top_groups = draw(st.integers(1, groups))
    rule = RoutingRule(
        draw(st.integers(1, top_groups * n_experts // groups)),
        score := draw(st.sampled_from(Score)),
        renormalize=score is not Score.IDENTITY and draw(st.booleans()),  # logits may add up to 0
        scaling_factor=draw(st.sampled_from([1.0, 2.5])),
        groups=groups,
        top_groups=top_groups,
        group_score=draw(st.sampled_from(GroupScore)),
    )
    positive = st.sampled_from([0.5, 1.0, 1.25, 2.0, 3.0])  # of one sign: s(x) + s(-x) = 1 is a tie in theory only
    logit = positive if rule.group_score is GroupScore.TOP_2_SUM else positive | st.sampled_from([-2.0, -1.0])
    rows = st.lists(logit | st.just(-math.inf), min_size=n_experts, max_size=n_experts)
    logits = draw(st.lists(rows.filter(lambda row: max(row) > -math.inf), min_size=1, max_size=4))
    bias = draw(st.lists(st.sampled_from([0.0, 0.5, 8.0]), min_size=n_experts, max_size=n_experts) | st.none())
    return logits, rule, bias
