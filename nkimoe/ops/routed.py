# SPDX-License-Identifier: Apache-2.0
"""A launch of the kernel of pairs: the mapping is made where the ids are."""

from __future__ import annotations

from typing import Any

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import Experts, padded, zeros_like_rows
from nkimoe.ops.launch import Launch
from nkimoe.ops.pair_experts import pair_experts
from nkimoe.ops.pair_slots import pair_count, pair_slots, used_experts
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.routing.sorting_rule import is_count


def run_routed(
    launch: Launch, x: Any, experts: Experts, ids: Any, weights: Any, round_each: bool, block_size: int | None
) -> Any:
    """out [T, K] of checked arguments.

    Args:
        ids, weights: [T, k], as of `check_routing`.
    """
    require(isinstance(round_each, bool), "round_each", "is True or False", repr(round_each), "Pass a bool.")
    is_size = block_size is None or (is_count(block_size) and block_size > 0)
    require(is_size, "block_size", "is a positive int or None", repr(block_size), "Use 128, 256, 512.")
    E, K = int(experts.gate_up.shape[0]), int(x.shape[1])
    B = block_size_for(pair_count(ids), used_experts(ids, E)) if block_size is None else int(block_size)
    slots = pair_slots(ids, weights, E, B, x)
    if slots is None:
        return zeros_like_rows(x)
    options = ExpertOptions(
        B, dtype_of(x), int(ids.shape[1]), round_each, slots.has_gaps, experts.activation, experts.is_gated,
        experts.activation_quantization, experts.exact_rows,
    )  # fmt: skip
    rows = padded(x, int(experts.down.shape[2]))
    return launch(pair_experts, rows, *experts.tensors, *experts.smooth, *slots.tables, options)[:, :K]
