# SPDX-License-Identifier: Apache-2.0
"""Quantisations of `nkimoe.ops` in the words of aiter's table: q_dtype_a, q_dtype_w, q_type."""

from __future__ import annotations

import re
from typing import NamedTuple


class OperandTypes(NamedTuple):
    """Attributes:
    q_dtype_a, q_dtype_w: what is multiplied; int4 for two codes a byte.
    q_type: what a scale is for: no, per_token (of weights a column), per_tensor, or per_1xN, N rows of a column.
    """

    q_dtype_a: str
    q_dtype_w: str
    q_type: str


INT4, FP8 = "int4", "float8_"
GROUPS = re.compile(r"per_1x(\d+)")
Q_TYPES = {
    "unquant": "no", "int8_w8a16": "per_token", "int8_w8a8": "per_token", "fp8_w8a16": "per_token",
    "fp8_w8a8": "per_tensor",
}  # fmt: skip


def operand_types(
    quantization: str, dtype: str, b_dtype: str, row_codes: str | None, group_size: int | None
) -> OperandTypes:
    """Of rows of type `dtype`, which become `row_codes`, and weights stored as `b_dtype`."""
    if group_size is not None:
        return OperandTypes(dtype, INT4, f"per_1x{group_size}")
    return OperandTypes(row_codes or dtype, b_dtype, Q_TYPES[quantization])


def quantization_of(types: OperandTypes, dtype: str) -> str | None:
    """The quantisation of rows of type `dtype` that has these types, or None.

    >>> quantization_of(OperandTypes("int8", "int8", "per_token"), "bfloat16")
    'int8_w8a8'
    """
    a, w, q_type = types
    if (a, w, q_type) == (dtype, dtype, "no"):
        return "unquant"
    if w == INT4 and a == dtype and GROUPS.fullmatch(q_type):
        return "int4_w4a16"
    if w == "int8" and q_type == "per_token":
        return {dtype: "int8_w8a16", "int8": "int8_w8a8"}.get(a)
    if w.startswith(FP8) and (a, q_type) == (dtype, "per_token"):
        return "fp8_w8a16"
    return "fp8_w8a8" if w.startswith(FP8) and a.startswith(FP8) and q_type == "per_tensor" else None


def group_size_of(types: OperandTypes) -> int | None:
    """Rows of a column that share a scale."""
    match = GROUPS.fullmatch(types.q_type)
    return int(match[1]) if match and types.q_dtype_w == INT4 else None
