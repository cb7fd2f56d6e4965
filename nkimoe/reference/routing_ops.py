# SPDX-License-Identifier: Apache-2.0
"""The definition of the routing operations, a token at a time, from the words of their documentation alone.

Slow, and independent of `nkimoe.routing`: tests compare both with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nkimoe.arrays import Array, Floats

WEIGHT_TOLERANCE = 2e-6  # relative, of weights of a softmax in fp32


def topk_softmax_reference(
    logits: Array, top_k: int, renormalize: bool = False
) -> tuple[Floats, npt.NDArray[np.int32]]:
    """(weights float32 [T, K], ids int32 [T, K]) of logits [T, E]; see `nkimoe.ops.topk_softmax`.

    Probabilities are computed in Python's floats and rounded once to float32, by which experts are ordered.
    """
    weights, ids = np.zeros((len(logits), top_k), np.float32), np.zeros((len(logits), top_k), np.int32)
    for token, row in enumerate(logits.astype(np.float64).tolist()):
        largest = max(row)
        exponentials = [math.exp(logit - largest) for logit in row]
        total = math.fsum(exponentials)
        probabilities = [float(np.float32(exponential / total)) for exponential in exponentials]
        is_masked = [logit == -math.inf for logit in row]
        chosen = sorted(range(len(row)), key=lambda e: (is_masked[e], -probabilities[e], e))[:top_k]
        divisor = math.fsum(probabilities[expert] for expert in chosen) if renormalize else 1.0
        ids[token] = chosen
        weights[token] = [probabilities[expert] / divisor for expert in chosen]
    return weights, ids


def routing_sigmoid_top1_reference(
    x: Array, w: Array, fused_shared_experts: bool = False
) -> tuple[Floats, npt.NDArray[np.int32]]:
    """(weights float32, ids int32) [M, 1 or 2] of x [M, K] and w [K, N]; see `nkimoe.ops.routing_sigmoid_top1`.

    Logits are computed in fp64, and rounded once to fp32, in which they are compared.
    """
    weights, ids = [], []
    for row in x.astype(np.float64):
        logits = [float(np.float32(logit)) for logit in row @ w.astype(np.float64)]
        expert = max(range(len(logits)), key=lambda e: (logits[e], -e))
        shared = ([1.0], [len(logits)]) if fused_shared_experts else ([], [])
        weights.append([_sigmoid(logits[expert]), *shared[0]])
        ids.append([expert, *shared[1]])
    shape = (len(x), 1 + fused_shared_experts)
    return np.array(weights, np.float32).reshape(shape), np.array(ids, np.int32).reshape(shape)


def _sigmoid(x: float) -> float:
    """Without overflow: below about -700 it is 0 in fp32, anyway."""
    return 1 / (1 + math.exp(-max(x, -700.0)))


def moe_align_block_size_reference(topk_ids: Array, n_experts: int, block_size: int) -> tuple[list[int], list[int]]:
    """The rows in use and the experts of the blocks in use; see `nkimoe.ops.moe_align_block_size`."""
    pads, listed = topk_ids.size, topk_ids.reshape(-1).tolist()
    rows: list[int] = []
    experts: list[int] = []
    for expert in range(n_experts):
        pairs = [number for number, given in enumerate(listed) if given == expert]
        n_blocks = math.ceil(len(pairs) / block_size)
        rows.extend(pairs + [pads] * (n_blocks * block_size - len(pairs)))
        experts.extend([expert] * n_blocks)
    return rows, experts


class SortedRows(NamedTuple):
    """Lists of the rows in use, and of the blocks in use: what remains of `SortedTokens` without its surplus."""

    token_ids: list[int]
    weights: list[float]
    expert_ids: list[int]


def moe_sorting_reference(
    topk_ids: Array,
    topk_weights: Array,
    n_experts: int,
    block_size: int,
    *,
    local_experts: Sequence[int] | None = None,
    local_tokens: int | None = None,
    packed: bool = True,
) -> SortedRows:
    """See `nkimoe.ops.moe_sorting`, whose arguments these are."""
    n_tokens, top_k = topk_ids.shape
    n_local = n_tokens if local_tokens is None else local_tokens
    pairs_of: dict[int, list[tuple[int, int]]] = {}
    for token, experts in enumerate(topk_ids[:n_local].tolist()):
        for choice, expert in enumerate(experts):
            pairs_of.setdefault(expert, []).append((token, choice))
    rows = SortedRows([], [], [])
    pad = top_k * 2**24 + n_local if packed else n_local
    for number, expert in enumerate(range(n_experts) if local_experts is None else local_experts):
        pairs = pairs_of.get(expert, [])
        n_blocks = math.ceil(len(pairs) / block_size)
        n_pads = n_blocks * block_size - len(pairs)
        rows.token_ids.extend([choice * 2**24 + token if packed else token for token, choice in pairs] + [pad] * n_pads)
        rows.weights.extend([float(topk_weights[pair]) for pair in pairs] + [0.0] * n_pads)
        rows.expert_ids.extend([number] * n_blocks)
    return rows
