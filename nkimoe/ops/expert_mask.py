# SPDX-License-Identifier: Apache-2.0
"""Which of all experts are here: expert parallelism as aiter has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import check_routing, values_or_tensor
from nkimoe.ops.routing_tensors import dtype_of, shape_of
from nkimoe.weights.host_array import is_torch

MASKS = ("bool", "int32", "int64", "int8", "uint8")


def check_local_routing(
    topk_ids: Any, topk_weights: Any, tokens: int, experts: int, expert_mask: Any
) -> tuple[Any, Any]:
    """Ids of local experts, -1 for others, and weights [T, k], where they are (`check_routing`).

    Args:
        experts: how many have weights here.
        expert_mask: [all experts], 1 or True for those, in order; None: they are all.

    Raises:
        RequestError: a shape, type or number out of range.
    """
    if expert_mask is None:
        return check_routing(topk_ids, topk_weights, tokens, experts)
    shape, dtype = shape_of("expert_mask", expert_mask), dtype_of(expert_mask)
    require(len(shape) == 1, "expert_mask", "is [all experts]", shape, "Pass one number an expert.")
    require(dtype in MASKS, "expert_mask", f"is {', '.join(MASKS)}", dtype, "Cast it.")
    ids, weights = check_routing(topk_ids, topk_weights, tokens, shape[0])
    mask = values_or_tensor("expert_mask", expert_mask)
    if is_torch(mask) or is_torch(ids):
        return _local_on_device(ids, expert_mask), weights
    require(bool(np.isin(mask, (0, 1)).all()), "expert_mask", "holds 0 and 1", mask, "Compare with 0.")
    count = int(np.count_nonzero(mask))
    require(count == experts, "expert_mask", f"marks the {experts} experts with weights", count, "Pass their weights.")
    local = np.append(np.where(mask != 0, np.cumsum(mask != 0) - 1, -1), -1)
    is_expert = (ids >= 0) & (ids < len(mask))
    return local[np.where(is_expert, ids, len(mask))].astype(np.int32), weights


def _local_on_device(ids: Any, mask: Any) -> Any:
    """The same of tensors whose values nobody reads."""
    import torch

    is_local = mask.to(ids.device) != 0
    places = torch.where(is_local, is_local.cumsum(0) - 1, -1)
    is_expert = (ids >= 0) & (ids < len(mask))
    return torch.where(is_expert, places[torch.where(is_expert, ids, 0).long()], -1).int()
