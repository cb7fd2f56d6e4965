# SPDX-License-Identifier: Apache-2.0
"""Routing drawn from a law, for planning before anything has been recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import require

SEED = 7001


class GivenRouting(Protocol):
    """Where expert ids come from, if no router chooses them."""

    @property
    def name(self) -> str:
        """What reports and caches know it by: two routings of one name are the same."""

    def expert_ids(self, tokens: int, experts: int, top_k: int) -> Array:
        """int32 [T, K], none twice in a row.

        Raises:
            RequestError: it is of another layer than one of so many experts and choices.
        """


@dataclass(frozen=True)
class ZipfRouting:
    """The r-th most popular expert is wanted in proportion to r ** -exponent; 0: all are as likely.

    Which expert is how popular is drawn, the same every time. A token's choices differ: they are drawn without
    replacement.
    """

    exponent: float = 0.0

    def __post_init__(self) -> None:
        is_law = 0 <= self.exponent <= 10
        require(is_law, "routing", "has an exponent of 0 (all alike) to 10", self.exponent, "Write zipf:1.0.")

    @property
    def name(self) -> str:
        return f"zipf:{self.exponent:g}" if self.exponent else "uniform"

    def expert_ids(self, tokens: int, experts: int, top_k: int) -> Array:
        """By the largest of the logarithms of popularity, each with noise of Gumbel."""
        rng = np.random.default_rng(SEED)
        popularity = -self.exponent * np.log(1 + rng.permutation(experts))
        wanted = popularity + rng.gumbel(size=(tokens, experts))
        return np.argsort(-wanted, axis=1, kind="stable")[:, :top_k].astype(np.int32)


UNIFORM = ZipfRouting()
