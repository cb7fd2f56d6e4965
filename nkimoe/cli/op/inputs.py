# SPDX-License-Identifier: Apache-2.0
"""Inputs of operations, drawn as the peers' programs draw theirs."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import numpy.typing as npt

from nkimoe.arrays import Array, Floats
from nkimoe.errors import require
from nkimoe.routing import route_softmax_top_k

DTYPES = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16, "fp32": np.float32}
SEED = 11937


def uniform_rows(rng: np.random.Generator, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """In -0.5..0.5."""
    return rng.uniform(-0.5, 0.5, shape).astype(dtype)


def smooth_scales(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """float32 in 0.001..0.5."""
    return rng.uniform(1e-3, 0.5, shape).astype(np.float32)


def normal_rows(rng: np.random.Generator, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Standard normal over the root of the columns."""
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(dtype)


def int8_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Codes in -126..126."""
    return np.trunc(rng.uniform(-1, 1, shape) * 127).astype(np.int8)


def weight_scales(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """float32 in 0..0.01."""
    return (rng.random(shape) * 1e-2).astype(np.float32)


def softmax_choices(
    rng: np.random.Generator, n_tokens: int, n_experts: int, top_k: int
) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Weights and ids [T, K] of a softmax over normal logits, weights as they are.

    Raises:
        RequestError: K is larger than E.
    """
    check_choices(n_experts, top_k)
    return route_softmax_top_k(rng.standard_normal((n_tokens, n_experts)), top_k, renormalize=False)


def distinct_ids(rng: np.random.Generator, n_tokens: int, n_experts: int, top_k: int) -> npt.NDArray[np.int32]:
    """[T, K], none twice in a row, in any order.

    Raises:
        RequestError: K is larger than E.
    """
    check_choices(n_experts, top_k)
    return np.argsort(rng.random((n_tokens, n_experts)), axis=1)[:, :top_k].astype(np.int32)


def check_choices(n_experts: int, top_k: int) -> None:
    """Raises RequestError if a token has more choices than there are experts."""
    require(top_k <= n_experts, "topk", f"is at most experts = {n_experts}", top_k, "A token has each expert once.")


def distinct_logits(rng: np.random.Generator, n_tokens: int, n_experts: int, dtype: npt.DTypeLike) -> Array:
    """[T, E] in -5..5, none twice in a row but for rounding, in any order."""
    steps = np.argsort(rng.random((n_tokens, n_experts)), axis=1)
    return (steps * (10 / n_experts) - 5).astype(dtype)


def with_pitch(rows: Array, stride: int, name: str = "stride") -> Array:
    """The rows, `stride` elements apart, or without a gap if it is negative; what lies between them is NaN.

    Raises:
        RequestError: a stride shorter than a row; `name` is that of the option.
    """
    if stride < 0:
        return rows
    columns = rows.shape[1]
    require(stride >= columns, name, f"is {columns} or more, or -1", stride, "-1 leaves no gap between rows.")
    room = np.full((len(rows), stride), np.nan, rows.dtype)
    room[:, :columns] = rows
    return room[:, :columns]
