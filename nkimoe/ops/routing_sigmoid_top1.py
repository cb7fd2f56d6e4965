# SPDX-License-Identifier: Apache-2.0
"""`routing_sigmoid_top1`: the router of layers with one expert a token, in aiter's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.errors import InputError, require
from nkimoe.ops.launch import Launch, OnCores
from nkimoe.ops.routing_tensors import dtype_of, like, shape_of, values_of
from nkimoe.routing import on_device
from nkimoe.routing.on_device.router import FLOATS, MOST_EXPERTS

MOST = 2.0**127  # that a logit may reach: twice as much is no fp32 number


@OnCores
def routing_sigmoid_top1(launch: Launch, x: Any, w: Any, *, fused_shared_experts: bool = False) -> tuple[Any, Any]:
    """A token has the expert of its largest logit x w, the first of equal ones, and the sigmoid of the logit as weight.

    Logits are compared, not sigmoids, which are all 1 from about 17 on. Two cores take turns at tiles of 128 tokens.

    Args:
        x: [M, K] float32, bfloat16 or float16, NumPy or torch; M may be 0.
        w: [K, N], of the same type, N experts, up to 4096.
        fused_shared_experts: each token has the shared expert, too, as id N with weight 1.

    Returns:
        (weights float32, ids int32), [M, 1], or [M, 2] with the shared expert, NumPy or torch as x.

    Raises:
        RequestError: a shape, data type or option out of range.
        InputError: NaN, infinity, or values whose logits may be no fp32 numbers; where values lie on the host.
    """
    n_tokens = _check(x, w)
    require(
        isinstance(fused_shared_experts, bool), "fused_shared_experts", "is True or False", fused_shared_experts,
        "Shared experts of other ids are the caller's to append.",
    )  # fmt: skip
    _check_values(x, w)
    if not n_tokens:  # a tensor on chip has a row or more
        choices = 2 if fused_shared_experts else 1
        return like(np.zeros((0, choices), np.float32), x), like(np.zeros((0, choices), np.int32), x)
    weights, ids = launch(on_device.routing_sigmoid_top1, x, w, fused_shared_experts)
    return weights, ids


def _check(x: Any, w: Any) -> int:
    """M."""
    shape, given = shape_of("x", x), shape_of("w", w)
    is_right = len(shape) == 2 and shape[1] > 0
    require(is_right, "x", "is [M, K], K of 1 or more", shape, "Flatten batch and sequence into M.")
    require(dtype_of(x) in FLOATS, "x", f"is {', '.join(FLOATS)}", dtype_of(x), "Cast it.")
    is_right = len(given) == 2 and given[0] == shape[1] and 1 <= given[1] <= MOST_EXPERTS
    fix = "A router of torch.nn.Linear has the transpose."
    require(is_right, "w", f"is [{shape[1]}, N], N from 1 to {MOST_EXPERTS}", given, fix)
    require(dtype_of(w) == dtype_of(x), "w", f"has the type of x, {dtype_of(x)}", dtype_of(w), "Cast one of them.")
    return shape[0]


def _check_values(x: Any, w: Any) -> None:
    """What the kernel cannot refuse."""
    largest = 1.0
    for name, tensor in (("x", x), ("w", w)):
        values = values_of(name, tensor)
        if values is None:
            return
        most = float(np.abs(values.astype(np.float32)).max(initial=0))
        if not np.isfinite(most):
            raise InputError(name, "is finite", "NaN or infinity", "Clean it.")
        largest *= most
    if largest * int(w.shape[0]) > MOST:
        raise InputError("w", "gives logits up to 2**127", f"up to {largest * int(w.shape[0]):g}", "Scale it down.")
