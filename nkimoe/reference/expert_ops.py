# SPDX-License-Identifier: Apache-2.0
"""The definition of the operations with experts in NumPy: roundings where formulas have them.

Sums of products of codes are fp64, which has room for all of their bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.reference.activations import ACTIVATIONS
from nkimoe.reference.row_quantisation import quantize_int8_reference
from nkimoe.spec import ActFnType


class Int8Expert(NamedTuple):
    """One expert in SGLang's layouts: w1 int8 [2I or I, H], w2 int8 [H, I], a scale a row of each.

    Attributes:
        smooth_hidden, smooth_intermediate: [H] and [I], what x and act(g) * u are multiplied with before they are
            quantised, in fp32; None: not, and act(g) * u is rounded to the type of x first.
    """

    w1: Array
    w2: Array
    w1_scale: Floats
    w2_scale: Floats
    smooth_hidden: Floats | None = None
    smooth_intermediate: Floats | None = None

    def __call__(self, x: Array, activation: ActFnType = ActFnType.SiLU) -> Floats:
        """fp32 [n, H] of rows x [n, H]."""
        rows = x.astype(np.float32)
        first = _matmul(rows if self.smooth_hidden is None else rows * self.smooth_hidden, self.w1, self.w1_scale)
        act, I = ACTIVATIONS[activation].value, self.w2.shape[1]
        m = act(first[:, :I]) * first[:, I:] if len(self.w1) == 2 * I else act(first)
        m = m.astype(x.dtype).astype(np.float32) if self.smooth_intermediate is None else m * self.smooth_intermediate
        return _matmul(m, self.w2, self.w2_scale)


class PlainExpert(NamedTuple):
    """One expert in the type of x, likewise; w1 [2I, H]."""

    w1: Array
    w2: Array

    def __call__(self, x: Array, activation: ActFnType = ActFnType.SiLU) -> Floats:
        g, u = np.split(x.astype(np.float32) @ self.w1.astype(np.float32).T, 2, axis=1)
        m = (ACTIVATIONS[activation].value(g) * u).astype(x.dtype).astype(np.float32)
        result: Floats = m @ self.w2.astype(np.float32).T
        return result


Expert = Int8Expert | PlainExpert


def _expert(w1: Array, w2: Array, w1_scale: Any, w2_scale: Any) -> Expert:
    """A plain one has no scales."""
    if w1_scale is None:
        return PlainExpert(w1, w2)
    return Int8Expert(w1, w2, w1_scale.reshape(-1), w2_scale.reshape(-1))


def fused_experts_reference(
    x: Array, w1: Array, w2: Array, topk_weights: Floats, topk_ids: Array, *, w1_scale: Floats | None = None,
    w2_scale: Floats | None = None, round_each: bool = True,
) -> Array:  # fmt: skip
    """[T, K], as `nkimoe.ops.fused_experts` documents it."""
    scales = ([None] * len(w1) if s is None else s for s in (w1_scale, w2_scale))
    experts = [_expert(*each) for each in zip(w1, w2, *scales, strict=True)]
    return _routed(x, experts, topk_weights, topk_ids, round_each, ActFnType.SiLU)


def fused_moe_smoothquant_reference(
    x: Array, w1: Array, w2: Array, topk_weights: Floats, topk_ids: Array, *, w1_scale: Floats, w2_scale: Floats,
    smooth_scale1: Floats, smooth_scale2: Floats, activation: str = "silu",
) -> Array:  # fmt: skip
    """[T, H], as `nkimoe.ops.fused_moe_smoothquant` documents it."""
    experts = [Int8Expert(*each) for each in zip(w1, w2, w1_scale, w2_scale, smooth_scale1, smooth_scale2, strict=True)]
    kind = {"silu": ActFnType.SiLU, "gelu": ActFnType.GELU}[activation]
    return _routed(x, experts, topk_weights, topk_ids, False, kind)


def shared_expert_reference(
    x: Array, w1: Array, w2: Array, fused_experts_out: Array, routed_scaling_factor: float, *,
    w1_scale: Floats | None = None, w2_scale: Floats | None = None,
) -> Array:  # fmt: skip
    """[T, K], as `nkimoe.ops.shared_expert` documents it."""
    y = _expert(w1, w2, w1_scale, w2_scale)(x)
    total: Array = (y + fused_experts_out.astype(np.float32) * np.float32(routed_scaling_factor)).astype(x.dtype)
    return total


def _routed(
    x: Array, experts: Sequence[Expert], weights: Floats, ids: Array, round_each: bool, activation: ActFnType
) -> Array:
    T, k = ids.shape
    results = np.zeros((T, k, x.shape[1]), np.float32)
    for e, expert in enumerate(experts):
        tokens, choices = np.nonzero(ids == e)
        if tokens.size:
            results[tokens, choices] = expert(x[tokens], activation) * weights[tokens, choices, None]
    if round_each:
        results = results.astype(x.dtype).astype(np.float32)
    total = results[:, 0]
    for j in range(1, k):
        total = total + results[:, j]
    rounded: Array = total.astype(x.dtype)
    return rounded


def _matmul(rows: Floats, weight: Array, scale: Floats) -> Floats:
    """Quantised rows times weight.T [columns, contraction], exact, then both scales."""
    codes, of_rows = quantize_int8_reference(rows)
    sums = codes.astype(np.float64) @ weight.astype(np.float64).T
    result: Floats = sums.astype(np.float32) * of_rows[:, None] * scale
    return result
