# SPDX-License-Identifier: Apache-2.0
"""`scatter_affinities` as a kernel: the router's weights [T, K] as the affinity column of `moe_cte`."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.planning.tiling import PARTITIONS, Span, spans
from nkimoe.routing.on_device.listed import load_ids, numbers


@nki.jit
def scatter_affinities(
    weights: Any, expert_ids: Any, n_experts: int, skip_token: bool = True, dtype: Any = nl.bfloat16
) -> Any:
    """`nkimoe.routing.scatter_affinities` on any number of cores, which take turns at tiles of 128 tokens.

    An expert that a token lists twice gets the sum of its weights, where NumPy refuses it.

    Args:
        weights: [T, K] float32.
        expert_ids: [T, K] int32; ids outside 0..E-1 are ignored.
        n_experts: E.
        skip_token: False: one more row of zeros, for pads with id T.
        dtype: of the result.

    Returns:
        [T * E, 1], or [(T + 1) * E, 1].

    Raises:
        RequestError: the two shapes differ, or are not [T, K].
    """
    shape = tuple(expert_ids.shape)
    require(len(shape) == 2, "expert_ids", "are [T, K]", shape, "Reshape one expert a token to [T, 1].")
    require(
        tuple(weights.shape) == shape, "weights", f"have the shape of expert_ids, {shape}", weights.shape, "Fix it."
    )
    n_rows = shape[0] + (not skip_token)
    with name_scope("scatter_affinities"):
        result = shared_tensor((n_rows * n_experts, 1), dtype, "affinities")
    by_row = result.reshape((n_rows, n_experts))
    experts = numbers(n_experts)
    for turn, tokens in enumerate(spans(shape[0], PARTITIONS)):
        if turn % nl.num_programs(0) == nl.program_id(0):
            rows = _rows(experts, weights, load_ids(expert_ids, tokens), tokens)
            rounded = nl.ndarray(tuple(rows.shape), dtype=dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=rounded, src=rows)
            nisa.dma_copy(dst=by_row[tokens.slice], src=rounded)
    if not skip_token and nl.program_id(0) == 0:
        zeros = nl.ndarray((1, n_experts), dtype=dtype, buffer=nl.sbuf)
        nisa.memset(dst=zeros, value=0)
        nisa.dma_copy(dst=by_row[shape[0] : n_rows], src=zeros)
    return result


def _rows(experts: Any, weights: Any, ids: Any, tokens: Span) -> Any:
    """fp32 [tokens, E]."""
    K, shape = ids.shape[1], (tokens.size, experts.shape[1])
    own = nl.ndarray((tokens.size, K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=own, src=weights[tokens.slice])
    total = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=total, value=0)
    for k in range(K):
        alone = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=alone, data=experts[: tokens.size], op0=nl.equal, operand0=ids[:, k : k + 1],
            op1=nl.multiply, operand1=own[:, k : k + 1],
        )  # fmt: skip
        nisa.tensor_tensor(dst=total, data1=total, data2=alone, op=nl.add)
    return total
