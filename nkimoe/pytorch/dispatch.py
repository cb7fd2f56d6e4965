# SPDX-License-Identifier: Apache-2.0
"""Expert parallelism: rows travel to the ranks that have their experts, and their results travel back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nkimoe.pytorch.ranks import Ranks, Travel, exchange, exchange_counts, gather_from, sum_and_scatter


class Dispatched(NamedTuple):
    """Rows that other ranks, or this one, have for this rank's experts.

    rows [R, H], ids [R, K] numbered from this rank's first expert (others -1), weights [R, K]; combine: results [R, H]
    back to where their rows came from, added up: [T, H].
    """

    rows: Tensor
    ids: Tensor
    weights: Tensor
    combine: Callable[[Tensor], Tensor]


def dispatch(hidden_states: Tensor, ids: Tensor, weights: Tensor, n_experts: int, ranks: Ranks) -> Dispatched:
    """Send tokens as `ranks.travel` says.

    Rows and weights travel as one tensor in the dtype of hidden_states: one collective, and one in the backward pass.
    """
    both = torch.cat([hidden_states, weights.to(hidden_states.dtype)], dim=1)
    return _DISPATCHES[ranks.travel](both, hidden_states.shape[1], ids, n_experts, ranks)


def _selected(both: Tensor, H: int, ids: Tensor, n_experts: int, ranks: Ranks) -> Dispatched:
    """Each token once to every rank with one of its experts."""
    n_tokens = len(both)
    first = torch.tensor(ranks.first_expert(n_experts), device=ids.device)
    is_for = (ids[None] >= first[:-1, None, None]) & (ids[None] < first[1:, None, None])  # [ranks, T, K]
    destination, tokens = is_for.any(dim=2).nonzero(as_tuple=True)  # ascending by rank
    counts = is_for.any(dim=2).sum(dim=1)
    sent, received = counts.tolist(), exchange_counts(counts, ranks.ep)
    local_ids = torch.where(is_for[destination, tokens], ids[tokens] - first[destination, None], -1)
    rows = exchange(both[tokens], sent, received, ranks.ep)
    arrived_ids = exchange(local_ids, sent, received, ranks.ep)

    def combine(results: Tensor) -> Tensor:
        arrived = exchange(results, received, sent, ranks.ep)
        output = arrived.new_zeros((n_tokens, arrived.shape[1]), dtype=torch.float32)
        return output.index_add(0, tokens, arrived.float()).to(results.dtype)

    return Dispatched(rows[:, :H], arrived_ids, rows[:, H:], combine)


def _all(both: Tensor, H: int, ids: Tensor, n_experts: int, ranks: Ranks) -> Dispatched:
    """Every token to every rank, which ignores what is not for it."""
    own = ranks.own_experts(n_experts)
    rows, all_ids = gather_from(both, ranks.ep), gather_from(ids, ranks.ep)
    is_own = (all_ids >= own.start) & (all_ids < own.stop)
    local_ids = torch.where(is_own, all_ids - own.start, -1)

    def combine(results: Tensor) -> Tensor:
        return sum_and_scatter(results.float(), ranks.ep).to(results.dtype)

    return Dispatched(rows[:, :H], local_ids, rows[:, H:], combine)


_DISPATCHES = {Travel.SELECTED: _selected, Travel.ALL: _all}
