# SPDX-License-Identifier: Apache-2.0
"""What a router is expected to do: how many pairs each expert of a rank gets, before anybody knows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from nkimoe.arrays import Array

GOLDEN = 0.6180339887498949
"""Multiples of it, less their whole part, are spread evenly in any order."""


@dataclass(frozen=True)
class ExpectedLoad:
    """Pairs of the experts of a rank, where each choice of a token is as likely as any other.

    Attributes:
        tokens, top_k: of the call, T and K.
        experts: of the rank.
        all_experts: of the layer.
    """

    tokens: int
    top_k: int
    experts: int
    all_experts: int

    @property
    def pairs(self) -> int:
        """(token, expert) pairs of the rank."""
        return round(self.tokens * self.top_k * self.experts / self.all_experts)

    @cached_property
    def by_expert(self) -> Array:
        """float64 [experts]: quantiles of the binomial distribution, which its normal one stands for."""
        share = min(1.0, self.top_k / self.all_experts)
        mean, normal = self.tokens * share, NormalDist()
        deviation = (mean * (1 - share)) ** 0.5
        at = (np.arange(1, self.experts + 1) * GOLDEN) % 1
        spread = [normal.inv_cdf(min(max(float(q), 1e-6), 1 - 1e-6)) for q in at]
        return np.maximum(0.0, mean + deviation * np.array(spread))

    def blocks(self, block_size: int, most: int) -> ExpectedBlocks:
        """The blocks that hold them, of `most` that there are."""
        pairs = np.rint(self.by_expert).astype(np.int64)
        counts = -(-pairs // block_size)
        experts = np.repeat(np.arange(self.experts), counts)
        within = np.arange(len(experts)) - np.repeat(np.cumsum(counts) - counts, counts)
        filled = np.minimum(pairs[experts] - within * block_size, block_size)
        return ExpectedBlocks(block_size, most, experts[:most], filled[:most])


@dataclass(frozen=True, eq=False)
class ExpectedBlocks:
    """Blocks with tokens, which are the first ones.

    Attributes:
        size: slots of a block.
        most: blocks that there are, N.
        experts, filled: int64, of each with tokens: its expert, and the slots that hold a token.
    """

    size: int
    most: int
    experts: Array
    filled: Array

    @property
    def count(self) -> int:
        """Blocks with tokens."""
        return len(self.experts)

    def of(self, numbers: Array) -> tuple[Array, Array]:
        """Experts and filled slots of the blocks with these numbers; those without tokens have the last expert."""
        has_tokens = numbers < self.count
        at = np.minimum(numbers, max(self.count - 1, 0))
        if not self.count:
            return np.zeros_like(numbers), np.zeros_like(numbers)
        return self.experts[at], np.where(has_tokens, self.filled[at], 0)
