# SPDX-License-Identifier: Apache-2.0
"""OCP float8_e4m3fn weights (largest 448) as Trn2's float8_e4m3 (largest 240)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import InputError, RequestError
from nkimoe.planning.scale_blocks import block_of
from nkimoe.weights.block_scales import in_blocks, out_of_blocks


@dataclass(frozen=True)
class Rounding:
    """What a conversion changed.

    Attributes:
        values: how many there are.
        rounded: how many are not exactly what they were.
        largest_error: the largest difference, in units of the weight.
        groups, halved: scale groups, and how many of them needed halved values and a doubled scale.
    """

    values: int
    rounded: int
    largest_error: float
    groups: int
    halved: int


def legacy_fp8(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Rounding]]:
    """fp8 weights of `moe_cte` in float8_e4m3fn as Trn2's float8_e4m3, and what each matrix lost.

    Args:
        tensors: arguments of `moe_cte`, [E, H, 2, I] and [E, I, H] with their scales; others are passed through.
    """
    result, lost = dict(tensors), {}
    for name in ("gate_up_proj", "down_proj"):
        weight, scale = tensors[f"{name}_weight"], tensors[f"{name}_scale"]
        size = block_of(scale.shape, weight.shape)
        legacy, doubled, lost[f"{name}_weight"] = (
            legacy_blocks(weight, scale, size)
            if size
            else to_legacy_e4m3(weight, scale.reshape(_grouped(weight, scale)))
        )
        result[f"{name}_weight"], result[f"{name}_scale"] = legacy, doubled.reshape(scale.shape)
    return result, lost


def legacy_blocks(weight: Array, scale: Array, size: int) -> tuple[Array, Array, Rounding]:
    """`to_legacy_e4m3` of weights [E, rows, ..., columns] with scales of blocks of `size` rows and columns."""
    one = scale if scale.ndim == weight.ndim else scale[..., 0]
    groups = in_blocks(weight, size, axis=1)
    legacy, doubled, lost = to_legacy_e4m3(groups, np.expand_dims(one, (2, one.ndim + 1)))
    doubled = doubled[:, :, 0, ..., 0]
    if scale.ndim > weight.ndim:
        doubled = np.repeat(doubled[..., None], scale.shape[-1], -1)
    return out_of_blocks(legacy, weight.shape, axis=1), doubled, replace(lost, values=weight.size)


def _grouped(weight: Array, scale: Array) -> tuple[int, ...]:
    """The contract's scale shape as one that broadcasts: a scale a column, or one a matrix."""
    E, halves = len(weight), weight.shape[2:-1]
    columns = weight.shape[-1] if scale.size == E * math.prod(weight.shape[2:]) else 1
    return E, 1, *halves, columns


def to_legacy_e4m3(values: Array, scale: Array) -> tuple[Array, Array, Rounding]:
    """float8_e4m3fn values (largest 448) and their scales as Trn2's float8_e4m3 (largest 240).

    Codes up to 240 mean the same in both formats. A scale group with a larger value is halved and its scale
    doubled; that is exact but for odd multiples of 2**-9 below 2**-5, which round to even.

    Args:
        values: float8_e4m3fn, any shape.
        scale: float32 that broadcasts against `values`: a group is what shares an element of it.

    Raises:
        RequestError: another dtype, or a scale that does not broadcast. InputError: NaN.
    """
    if values.dtype != ml_dtypes.float8_e4m3fn:
        raise RequestError("values", "is float8_e4m3fn", values.dtype, "Quantise these weights instead.")
    pairs = [*zip(values.shape, scale.shape, strict=False)]
    if scale.ndim != values.ndim or any(s not in (1, n) for n, s in pairs):
        raise RequestError("scale", f"broadcasts against {values.shape}", scale.shape, "Reshape it.")
    axes = tuple(axis for axis, (n, s) in enumerate(pairs) if s != n)
    real = values.astype(np.float32)
    amax = np.abs(real).max(axis=axes, keepdims=True, initial=0)
    if np.isnan(amax).any():
        raise InputError("values", "are finite", "NaN", "Repair the checkpoint.")
    factor = np.where(amax > 240, np.float32(2), np.float32(1))
    legacy = (real / factor).astype(ml_dtypes.float8_e4m3)
    error = np.abs(legacy.astype(np.float32) * factor - real)
    largest = float((error * scale).max(initial=0))
    halved = int(np.count_nonzero(factor == 2))
    return legacy, scale * factor, Rounding(real.size, int(np.count_nonzero(error)), largest, factor.size, halved)
