# SPDX-License-Identifier: Apache-2.0
"""`topk_softmax`: the experts of each token by probability. Composable Kernel's name for the router of a softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, require
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of, values_of, with_stride
from nkimoe.routing import RoutingRule, on_device
from nkimoe.routing.on_device.largest import MASKED
from nkimoe.routing.on_device.router import FLOATS, MOST_EXPERTS
from nkimoe.routing.sorting_rule import is_count


@OnCores
def topk_softmax(
    launch: Launch, logits: Any, top_k: int, *, renormalize: bool = False, out_stride: int | None = None
) -> tuple[Any, Any]:
    """Softmax over all experts in fp32, then each token's `top_k` largest, descending; equal ones by ascending id.

    Two cores take turns at tiles of 128 tokens.

    Args:
        logits: [T, E] float32, bfloat16 or float16, NumPy or torch, rows with any stride; T may be 0, E is up to 4096.
            -inf masks an expert: it comes after all others, with weight 0.
        top_k: K, 1 to E.
        renormalize: divide each row of weights by its sum.
        out_stride: elements from one row of a result to the next, K or more; what lies between is 0. None: K.

    Returns:
        (weights float32 [T, K], ids int32 [T, K]), NumPy or torch as the logits.

    Raises:
        RequestError: a shape, data type or number out of range.
        InputError: NaN, +inf, a finite logit of -3e38 or below, or a row of only -inf; where values lie on the host.
    """
    n_tokens = _check(logits, top_k, out_stride)
    require(isinstance(renormalize, bool), "renormalize", "is True or False", renormalize, "Pass one of them.")
    values = values_of("logits", logits)
    if values is not None:
        _check_rows(values)
    if n_tokens:
        weights, ids = launch(on_device.route, logits, RoutingRule(top_k, renormalize=renormalize))
    else:  # a tensor on chip has a row or more
        weights, ids = (like(np.zeros((0, top_k), dtype), logits) for dtype in (np.float32, np.int32))
    if out_stride is None:
        return weights, ids
    return with_stride(weights, out_stride), with_stride(ids, out_stride)


def _check(logits: Any, top_k: int, out_stride: int | None) -> int:
    """T."""
    shape = shape_of("logits", logits)
    require(len(shape) == 2, "logits", "is [T, E]", shape, "Flatten batch and sequence into T.")
    require(dtype_of(logits) in FLOATS, "logits", f"is {', '.join(FLOATS)}", dtype_of(logits), "Cast it.")
    n_tokens, n_experts = shape
    fix = "Route on the host with nkimoe.routing.route."
    require(1 <= n_experts <= MOST_EXPERTS, "logits", f"has 1 to {MOST_EXPERTS} experts", n_experts, fix)
    is_right = is_count(top_k) and 1 <= top_k <= n_experts
    require(is_right, "top_k", f"is in 1..E = 1..{n_experts}", top_k, "A token has each expert once at most.")
    if out_stride is not None:
        is_right = is_count(out_stride) and out_stride >= top_k
        require(is_right, "out_stride", f"is top_k = {top_k} or more", out_stride, "None is top_k.")
    return n_tokens


def _check_rows(logits: Array) -> None:
    """What the kernel cannot refuse, as it does not look at values before it works with them."""
    fp32 = logits.astype(np.float32)
    is_wrong = ~(np.isneginf(fp32) | (fp32 > np.float32(MASKED)) & (fp32 < np.inf))  # NaN is neither
    rule, fix = f"is -inf, or finite and above {MASKED:g}", "Mask an expert with -inf."
    for token, expert in np.argwhere(is_wrong)[:1]:
        raise InputError("logits", rule, f"{fp32[token, expert]} for token {token}, expert {expert}", fix)
    for token in np.flatnonzero(np.isneginf(fp32).all(axis=1))[:1]:
        raise InputError("logits", "leaves each token an expert", f"only -inf in row {token}", "Drop that token.")
