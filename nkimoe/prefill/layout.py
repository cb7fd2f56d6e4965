# SPDX-License-Identifier: Apache-2.0
"""How ranks divide a whole model, and what one of them holds."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from nkimoe.errors import require
from nkimoe.models import RankLayout
from nkimoe.planning.tiling import ceil_div
from nkimoe.prefill.chips import CHIPS, Chip
from nkimoe.prefill.transformer import Transformer

ALL_GATHER, ALL_TO_ALL = "all-gather", "all-to-all"


@dataclass(frozen=True)
class PrefillLayout:
    """Ranks of a whole model.

    Attention's heads are shared by `attention_tp` ranks. There are `groups` such groups of ranks, and each has its own
    prompts: what a MoE layer then needs from the others' tokens is exchanged before it, and its results after it.

    Attributes:
        experts: how ranks divide a MoE layer.
        target, lnc: of the cores; `lnc` physical ones are a rank.
        groups: of ranks with prompts of their own; 1: all ranks have all tokens.
        exchange: between groups, ALL_GATHER: every rank has all tokens in MoE layers; ALL_TO_ALL: those that go to its
            experts.
    """

    experts: RankLayout
    target: str
    lnc: int = 2
    groups: int = 1
    exchange: str = ALL_GATHER

    @property
    def ranks(self) -> int:
        return self.experts.tp * self.experts.ep

    @property
    def attention_tp(self) -> int:
        """Ranks that share heads."""
        return self.ranks // self.groups

    @property
    def chip(self) -> Chip:
        return CHIPS[self.target]

    @property
    def chips(self) -> int:
        """That the ranks fill."""
        return ceil_div(self.ranks, self.chip.ranks(self.lnc))

    def heads(self, model: Transformer) -> int:
        """Heads of queries on a rank."""
        return ceil_div(model.attention.heads, self.attention_tp)

    def kv_heads(self, model: Transformer) -> int:
        """Heads of keys and values on a rank: some ranks hold the same where there are fewer heads than ranks."""
        return ceil_div(model.attention.kv_heads, self.attention_tp)

    def own_columns(self, columns: int) -> int:
        """Of an MLP that all ranks share: each has some columns, whoever's tokens they are."""
        return ceil_div(columns, self.attention_tp)

    def check(self, model: Transformer, prompts: int) -> None:
        """Each rank has something to do.

        Raises:
            RequestError: not so.
        """
        self.experts.check(model.moe)
        heads, ranks = model.attention.heads, self.ranks
        require(ranks % self.groups == 0, "groups", f"divides {ranks} ranks", self.groups, "Take a divisor.")
        more = f"Take --groups {ranks // gcd(ranks, heads)}, so that fewer share the heads."
        require(heads % self.attention_tp == 0, "tp", f"ranks of a group divide {heads} heads", self.attention_tp, more)
        fix = "Give as many prompts as groups, or a multiple."
        require(prompts % self.groups == 0, "prompts", f"divide among {self.groups} groups", prompts, fix)
