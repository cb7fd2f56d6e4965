# SPDX-License-Identifier: Apache-2.0
"""Conversion between data types, as the engines do it on every write.

Floating point rounds to nearest even. fp8 and integers saturate; bf16 and fp16 overflow to infinity. NaN becomes
integer 0. Integers of different types pass through float32, as `dma_copy` and `tensor_copy` are documented.
(docs/simulator/differences.md lists what the documents leave open.)
"""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np

from nkisim.dtypes.arrays import Array
from nkisim.dtypes.table import DTYPES, DType

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_FLOAT8 = {d.numpy for d in DTYPES.values() if d.kind == "float" and d.itemsize == 1}


def to_float32(values: Array) -> Array:
    """`values` as float32: exactly, but for integers above 2**24."""
    if values.dtype == np.float32:
        return values
    if values.dtype == _BFLOAT16:
        return values.astype(np.float32)  # moves bits, which raises no floating point exception
    if values.dtype in _FLOAT8:
        return _float32_of(values.dtype)[values.view(np.uint8)]
    with np.errstate(invalid="ignore"):  # a signaling NaN is a value like any other
        return values.astype(np.float32)


def convert(values: Array, dtype: DType) -> Array:
    """`values` rounded and saturated to `dtype`."""
    if dtype == "tfloat32":
        return _round_to_tfloat32(to_float32(values))
    if values.dtype == dtype.numpy:
        return values
    if dtype.is_integer:
        return _to_integer(values, dtype.numpy)
    if dtype.kind == "float" and dtype.itemsize == 1:
        return _to_float8(to_float32(values), dtype.numpy)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(dtype.numpy)


def _to_integer(values: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    if values.dtype.kind in "iub":
        passed = to_float32(values) if values.dtype.itemsize == 4 else values  # 64 bits: an engine's own result
        return np.clip(passed.astype(np.int64), limits.min, limits.max).astype(dtype)
    with np.errstate(invalid="ignore"):
        rounded = np.rint(values.astype(np.float64))
    return np.nan_to_num(np.clip(rounded, limits.min, limits.max), nan=0.0).astype(dtype)


def _to_float8(values: Array, dtype: np.dtype[Any]) -> Array:
    """Looked up by the upper half of each value, its last bit set where the lower half is not zero.

    That is rounding to odd, after which rounding to at least two bits less gives what rounding at once would.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    upper = (bits >> np.uint32(16)).astype(np.uint16)
    upper |= (bits & np.uint32(0xFFFF)) != 0
    return _float8_of(dtype)[upper].view(dtype).reshape(values.shape)


@functools.cache
def _float8_of(dtype: np.dtype[Any]) -> Array:
    """The code for each upper half of a float32."""
    halves = (np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)).view(np.float32)
    top = np.float32(ml_dtypes.finfo(dtype).max)
    with np.errstate(invalid="ignore"):
        return np.clip(halves, -top, top).astype(dtype).view(np.uint8)


@functools.cache
def _float32_of(dtype: np.dtype[Any]) -> Array:
    """The value of each 8-bit code."""
    with np.errstate(invalid="ignore"):
        return np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)


def _round_to_tfloat32(values: Array) -> Array:
    """Keep 10 mantissa bits, round to nearest even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(values), rounded.view(np.float32), values)
