# SPDX-License-Identifier: Apache-2.0
"""How many pairs (token, expert) the experts of a layer get, and which of them a rank has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ELSEWHERE = -1  # the id of an expert that another rank has


@dataclass(frozen=True, eq=False)
class ExpertLoad:
    """What each of all experts gets.

    Attributes:
        pairs: int [E].
    """

    pairs: npt.NDArray[np.int64]

    @classmethod
    def of(cls, expert_ids: npt.NDArray[Any], n_experts: int) -> ExpertLoad:
        """Of ids [T, K]; those outside 0..E-1 count for nobody.

        >>> ExpertLoad.of(np.array([[0, 1], [0, -1]]), 4).pairs.tolist()
        [2, 1, 0, 0]
        """
        is_expert = (expert_ids >= 0) & (expert_ids < n_experts)
        return cls(np.bincount(expert_ids[is_expert], minlength=n_experts))

    @property
    def used(self) -> int:
        """Experts with at least one token."""
        return int(np.count_nonzero(self.pairs))

    @property
    def busiest_over_mean(self) -> float:
        """Pairs of the busiest expert over those of a mean one: 1 where all get the same."""
        return float(self.pairs.max() / max(self.pairs.mean(), np.finfo(float).tiny))

    def of_ranks(self, ep: int) -> ExpertLoad:
        """What each of `ep` ranks gets, which have consecutive experts.

        >>> ExpertLoad(np.array([2, 1, 0, 3])).of_ranks(2).pairs.tolist()
        [3, 3]
        """
        return ExpertLoad(self.pairs.reshape(ep, -1).sum(axis=1))

    @property
    def busiest(self) -> int:
        """Who gets most; of several, the first."""
        return int(np.argmax(self.pairs))


def ids_on_rank(expert_ids: npt.NDArray[Any], rank: int, own: int) -> npt.NDArray[np.int32]:
    """The ids as a rank numbers its `own` experts, which are consecutive; ELSEWHERE for those of others.

    >>> ids_on_rank(np.array([[0, 3], [2, 1]]), rank=1, own=2).tolist()
    [[-1, 1], [0, -1]]
    """
    local = expert_ids - rank * own
    return np.where((local >= 0) & (local < own), local, ELSEWHERE).astype(np.int32)
