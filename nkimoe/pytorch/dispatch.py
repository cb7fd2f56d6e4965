"""Expert parallelism: rows travel to the ranks that have their experts, and their results travel back."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from nkimoe.pytorch.ranks import Ranks, exchange, exchange_counts


class Dispatched(NamedTuple):
    """Rows that other ranks, or this one, have for this rank's experts.

    rows [R, H], ids [R, K] numbered from this rank's first expert (others -1), weights [R, K].
    """

    rows: Tensor
    ids: Tensor
    weights: Tensor
    way_back: _WayBack


class _WayBack(NamedTuple):
    tokens: Tensor
    sent: list[int]
    received: list[int]
    n_tokens: int


def dispatch(hidden_states: Tensor, ids: Tensor, weights: Tensor, n_experts: int, ranks: Ranks) -> Dispatched:
    """Send each token once to every rank with one of its experts.

    Rows and weights travel as one tensor in the dtype of hidden_states: one collective, and one in the backward pass.
    """
    first = torch.tensor(ranks.first_expert(n_experts), device=ids.device)
    is_for = (ids[None] >= first[:-1, None, None]) & (ids[None] < first[1:, None, None])  # [ranks, T, K]
    destination, tokens = is_for.any(dim=2).nonzero(as_tuple=True)  # ascending by rank
    counts = is_for.any(dim=2).sum(dim=1)
    sent, received = counts.tolist(), exchange_counts(counts, ranks.ep)
    local_ids = torch.where(is_for[destination, tokens], ids[tokens] - first[destination, None], -1)
    top_k, H = ids.shape[1], hidden_states.shape[1]
    both = torch.cat([hidden_states, weights.to(hidden_states.dtype)], dim=1)[tokens]
    rows = exchange(both, sent, received, ranks.ep)
    arrived_ids = exchange(local_ids, sent, received, ranks.ep)
    way_back = _WayBack(tokens, sent, received, len(hidden_states))
    return Dispatched(*_split(rows, H, top_k, arrived_ids), way_back)


def _split(both: Tensor, H: int, top_k: int, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, weights = both.split([H, top_k], dim=1)
    return rows, ids, weights


def combine(results: Tensor, way_back: _WayBack, group: Any) -> Tensor:
    """Results [R, H] back to where their rows came from, added up: [T, H]."""
    arrived = exchange(results, way_back.received, way_back.sent, group)
    output = arrived.new_zeros((way_back.n_tokens, arrived.shape[1]), dtype=torch.float32)
    return output.index_add(0, way_back.tokens, arrived.float()).to(results.dtype)
