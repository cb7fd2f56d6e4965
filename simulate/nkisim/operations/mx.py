# SPDX-License-Identifier: Apache-2.0
"""MX formats: four values in one packed element, one power-of-two scale for 8 partitions x 4 values."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from nkisim.dtypes import Array, to_float32
from nkisim.errors import DtypeError, PartitionError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.operations import checks

PACKED = ("float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4")
BLOCK = 8
BIAS = 127
_SCALES = ("float8_e8m0fnu", "uint8")
_OFFSETS = (0, 4, 8, 12)
_FP4 = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)


def data_rows(operand: str, t: NkiTensor) -> int:
    """Partitions of an MX operand: whole quadrants."""
    checks.in_sbuf((operand, t))
    if t.shape[0] % checks.QUADRANT:
        raise PartitionError(
            f"{operand} spans 32, 64, 96 or 128 partitions", f"{t.shape[0]}", "Pad the contraction to a multiple of 32."
        )
    return t.shape[0]


def scale_rows(operand: str, scale: NkiTensor, data_operand: str, data: NkiTensor, elements: int) -> list[NkiTensor]:
    """The rows of a scale tile that belong to `data`: four in each of its quadrants, at offset 0, 4, 8 or 12."""
    in_sbuf = checks.tensor(scale, operand).buffer.value
    if in_sbuf != "sbuf":
        checks.in_sbuf((operand, scale))
    if scale.dtype not in _SCALES:
        raise DtypeError(f"{operand} is float8_e8m0fnu or uint8", f"{scale.dtype}", "Use float8_e8m0fnu.")
    start, quadrants = checks.start_partition(scale), data.shape[0] // checks.QUADRANT
    if start % checks.QUADRANT not in _OFFSETS:
        raise PartitionError(
            f"{operand} starts at row 0, 4, 8 or 12 of a quadrant", f"partition {start}", "Move the slice."
        )
    if data.storage.address is not None and start // checks.QUADRANT != checks.start_partition(data) // checks.QUADRANT:
        raise PartitionError(
            f"{operand} is in the quadrants of {data_operand}", f"it starts at partition {start}", "Move one of them."
        )
    least = checks.QUADRANT * (quadrants - 1) + 4
    if scale.shape[0] < least or checks.free_size(scale) != elements:
        raise ShapeError(
            f"{operand} has {least} or more partitions (four used in each quadrant) of {elements} elements",
            f"{scale.shape}",
            "Allocate it with the partitions of the data, or 4 if those are 32.",
        )
    return [scale[checks.QUADRANT * q : checks.QUADRANT * q + 4] for q in range(quadrants)]


def unpack(values: Array) -> Array:
    """[rows, 4, columns] fp32 values of packed elements."""
    parts = values["x4"].reshape(values.shape[0], -1, values.dtype["x4"].shape[0]).transpose(0, 2, 1)
    if parts.shape[1] == 2:  # two bytes of two nibbles, the low one first
        nibbles = np.stack([parts & np.uint8(15), parts >> np.uint8(4)], axis=2)
        return _FP4[nibbles.reshape(parts.shape[0], 4, -1)]
    return to_float32(np.ascontiguousarray(parts))


def pack(values: Array, dtype: np.dtype[Any]) -> Array:
    """[rows, columns] packed elements of [rows, columns, 4] fp8 values."""
    result = np.empty(values.shape[:2], dtype)
    result["x4"] = values
    return result


def exponents(scales: tuple[Array, ...]) -> Array:
    """[blocks, columns] powers of two as fp32 factors, from the scale rows of each quadrant; 255 is NaN."""
    codes = np.concatenate([np.ascontiguousarray(s).reshape(s.shape[0], -1).view(np.uint8) for s in scales])
    factors = np.ldexp(np.float32(1), codes.astype(np.int32) - BIAS)
    return np.where(codes == 255, np.float32(np.nan), factors)


def dequantize(values: Array, scales: tuple[Array, ...]) -> Array:
    """[4 * rows, columns] fp32 values: packed elements times their scales."""
    real, factors = unpack(values), exponents(scales)
    blocks = real.reshape(len(factors), -1, real.shape[2])
    blocks *= factors[:, None, :]
    return blocks.reshape(-1, real.shape[2])
