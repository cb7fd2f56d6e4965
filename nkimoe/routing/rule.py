# SPDX-License-Identifier: Apache-2.0
"""How a router chooses: every published scheme as one value, which `route` in NumPy and in torch follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Score(Enum):
    """What becomes of the logits. All but SOFTMAX_OF_CHOSEN choose by the score.

    SOFTMAX: over all experts, before the choice (Mixtral, Qwen-MoE, DeepSeek-V2). SOFTMAX_OF_CHOSEN: over the chosen
    ones, chosen by logit (gpt-oss). SIGMOID: DeepSeek-V3, Llama 4. SQRT_SOFTPLUS: DeepSeek-V4. IDENTITY: logits are
    weights.
    """

    SOFTMAX = "softmax"
    SOFTMAX_OF_CHOSEN = "softmax of chosen"
    SIGMOID = "sigmoid"
    SQRT_SOFTPLUS = "sqrt softplus"
    IDENTITY = "identity"


class GroupScore(Enum):
    """What ranks a group: its best expert (DeepSeek-V2), or the sum of its best two (DeepSeek-V3).

    A masked expert adds nothing to the sum.
    """

    MAX = "max"
    TOP_2_SUM = "top 2 sum"


@dataclass(frozen=True)
class RoutingRule:
    """A router's choice of K experts, in this order of steps:

    1. score = f(logits); choice = score + selection_bias, if the router has one;
    2. of `groups` equal groups of neighbouring experts, the `top_groups` best by `group_score` stay;
    3. the K largest choices, descending; equal ones by ascending id;
    4. weight = score, without bias; divided by the row's sum + 1e-20 if `renormalize`; times `scaling_factor`.

    An expert whose logit is -inf, or whose group did not stay, has weight 0 where it fills up a row.

    Raises:
        ValueError: a number that means nothing.

    >>> deepseek_v3 = RoutingRule(8, Score.SIGMOID, groups=8, top_groups=4, group_score=GroupScore.TOP_2_SUM,
    ...                           scaling_factor=2.5)
    """

    top_k: int
    score: Score = Score.SOFTMAX
    renormalize: bool = True
    scaling_factor: float = 1.0
    groups: int = 1
    top_groups: int = 1
    group_score: GroupScore = GroupScore.MAX

    def __post_init__(self) -> None:
        if not 1 <= self.top_groups <= self.groups:
            raise ValueError(f"top_groups must be in 1..groups = 1..{self.groups}, got {self.top_groups}")

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError unless logits of this shape can be routed."""
        if len(shape) != 2:
            raise ValueError(f"logits must be [T, E], got {shape}; flatten batch and sequence into T")
        n_experts = shape[1]
        if not 1 <= self.top_k <= n_experts:
            raise ValueError(f"top_k must be in 1..E = 1..{n_experts}, got {self.top_k}")
        if n_experts % self.groups:
            raise ValueError(f"groups must divide E = {n_experts}, got {self.groups}")
        members = n_experts // self.groups
        if self.top_k > members * self.top_groups:
            raise ValueError(f"{self.top_groups} groups of {members} experts must hold top_k = {self.top_k}")
        if self.group_score is GroupScore.TOP_2_SUM and members < 2:
            raise ValueError(f"TOP_2_SUM needs groups of two experts, got {n_experts} experts in {self.groups} groups")


EPSILON = 1e-20  # in the sum that renormalisation divides by
