# SPDX-License-Identifier: Apache-2.0
"""The definition of quantised rows in NumPy: whole arrays, divisions where the formulas divide."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array, Floats

LARGEST = {"int8": 127, "float8_e4m3": 240, "float8_e4m3fn": 448}


def moe_smoothquant_reference(
    x: Array, smooth_scale: Floats, topk_ids: Array, *, out: str = "int8", rounding: str = "rne",
    zero_row: str = "eps", order: str = "topk_major",
) -> tuple[Array, Floats]:  # fmt: skip
    """q [k * T, H] and scale [k * T], as `nkimoe.ops.moe_smoothquant` documents them; `out` is the name of a type."""
    (T, k), (E, H) = topk_ids.shape, smooth_scale.shape
    rows = np.broadcast_to(x[:, None], (T, k, H)) if x.ndim == 2 else x
    skipped = (topk_ids < 0) | (topk_ids >= E)
    q, scale = _quantised(
        rows.astype(np.float32), smooth_scale[np.where(skipped, 0, topk_ids)], out, rounding, zero_row
    )
    q[skipped], scale[skipped] = 0, 0
    if order == "topk_major":
        q, scale = q.swapaxes(0, 1), scale.swapaxes(0, 1)
    return q.reshape(k * T, H), scale.reshape(k * T)


def smoothquant_reference(
    x: Array, smooth_scale: Floats, *, out: str = "int8", rounding: str = "rne", zero_row: str = "eps"
) -> tuple[Array, Floats]:
    """q [T, H] and scale [T], as `nkimoe.ops.smoothquant` documents them; `out` is the name of a type."""
    return _quantised(x.astype(np.float32), smooth_scale, out, rounding, zero_row)


def quantize_int8_reference(rows: Array) -> tuple[Array, Floats]:
    """q and scale of the last dimension's rows, as `nkimoe.ops.quantize_per_token_int8` documents them."""
    values = rows.astype(np.float32)
    amax = np.maximum(np.abs(values).max(axis=-1), np.float32(1e-7))
    factor = np.float32(127) / amax
    return np.rint(values * factor[..., None]).astype(np.int8), amax / np.float32(127)


def quantize_groups_reference(rows: Array, dtype: str, size: int = 128) -> tuple[Array, Floats]:
    """q [M, K] of an e4m3 type, and scale [M, K / size], rounded up, of groups of neighbouring columns:

    a = max(max |x| of the group, 1e-7)      scale = a / largest      q = x * (largest / a), to the nearest
    """
    (M, K), largest = rows.shape, np.float32(LARGEST[dtype])
    groups = -(-K // size)
    values = np.pad(rows.astype(np.float32), ((0, 0), (0, groups * size - K))).reshape(M, groups, size)
    amax = np.maximum(np.abs(values).max(axis=2), np.float32(1e-7))
    codes = np.clip(values * (largest / amax)[..., None], -largest, largest).astype(getattr(ml_dtypes, dtype))
    return codes.reshape(M, groups * size)[:, :K], amax / largest


def static_codes_reference(values: Floats, scale: float, dtype: str) -> Array:
    """values / scale as codes of a type, to the nearest, ties to even, saturated."""
    quotients = values.astype(np.float32) / np.float32(scale)
    if dtype == "int8":
        return np.clip(np.rint(quotients), -128, 127).astype(np.int8)
    codes: Array = np.clip(quotients, -LARGEST[dtype], LARGEST[dtype]).astype(getattr(ml_dtypes, dtype))
    return codes


def _quantised(x: Floats, smooth: Floats, out: str, rounding: str, zero_row: str) -> tuple[Array, Floats]:
    largest = np.float32(LARGEST[out])
    y = x * smooth
    amax = np.abs(y).max(axis=-1)
    scale = np.maximum(amax, np.float32(1e-7)) / largest
    if zero_row == "plus":
        scale = amax / largest + np.float32(1e-12)
    limited = np.clip(y / scale[..., None], -largest, largest)
    if out != "int8":
        return limited.astype(getattr(ml_dtypes, out)), scale
    return ROUND[rounding](limited).astype(np.int8), scale


def _half_away(values: Floats) -> Floats:
    magnitude = np.abs(values).astype(np.float64) + 0.5  # exact in fp64
    return np.copysign(np.floor(magnitude), values).astype(np.float32)


ROUND: dict[str, Callable[[Floats], Floats]] = {"rne": np.rint, "trunc": np.trunc, "away": _half_away}
