# SPDX-License-Identifier: Apache-2.0
"""Rows of a grouped GEMM: 16-bit numbers, or codes with their scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.errors import require
from nkimoe.ops.expert_arguments import FLOATS, check_finite, padded
from nkimoe.ops.gemm_layout import as_bytes
from nkimoe.ops.gemm_quantisation import ROW_CODES, Quantisation
from nkimoe.ops.routing_tensors import dtype_of, shape_of, values_of
from nkimoe.planning.grouped_gemm.column_runs import BLOCK
from nkimoe.planning.grouped_gemm.pieces import MOST_ROWS
from nkimoe.planning.tiling import ceil_div
from nkimoe.weights.host_array import is_torch
from nkimoe.weights.int8 import LARGEST

SMALLEST = -128  # of int8
OF_CODES = "bfloat16"  # the type of results, and of matmul operands, where rows come as codes


@dataclass(frozen=True, eq=False)
class GemmRows:
    """Rows, checked.

    Attributes:
        a: [M, K].
        scale: fp32 [M, n] of codes: one a row, or one for each 128 columns; else None.
    """

    a: Any
    scale: Any = None

    @property
    def dtype(self) -> str:
        """Of results, unless another is asked for."""
        return dtype_of(self.a) if self.scale is None else OF_CODES

    @property
    def least(self) -> int:
        """Of int8 codes, as far as they are known; of what becomes codes, -127."""
        if dtype_of(self.a) != "int8":
            return -int(LARGEST)
        codes = values_of("a", self.a)
        return SMALLEST if codes is None else int(codes.min(initial=0))

    def tensor(self, K: int) -> Any:
        """[M, K] with zeros behind; of codes bytes, those of the scales behind them."""
        if self.scale is None:
            return padded(self.a, K)
        n = int(self.scale.shape[1])
        scale = self.scale if n == 1 else padded(self.scale, K // BLOCK)
        codes, scales = padded(as_bytes(self.a, "int8"), K), as_bytes(scale, "int8")
        if is_torch(codes):
            import torch

            return torch.cat([codes, scales], dim=1)
        return np.concatenate([codes, scales], axis=1)


def check_rows(name: str, a: Any, codes: tuple[str, ...] = (), dims: tuple[int, ...] = (2,)) -> tuple[int, int]:
    """(rows, K) of a [rows, K], or with so many dimensions, of 16-bit numbers or one of the types of `codes`.

    Raises:
        RequestError: another shape or type. InputError: values that are not finite.
    """
    shape, types = shape_of(name, a), (*FLOATS, *codes)
    is_right = len(shape) in dims and 0 < shape[-1] <= MOST_ROWS
    rule = f"is [rows, K]{' or [rows, k, K]' * (3 in dims)}, K from 1 to {MOST_ROWS}"
    require(is_right, name, rule, shape, "Flatten batch and sequence, or split K.")
    require(dtype_of(a) in types, name, f"is {' or '.join(types)}", dtype_of(a), "Cast it.")
    check_finite(name, a)
    return shape[0], shape[-1]


def checked_rows(a: Any, b: Any, given: Quantisation) -> GemmRows:
    """The rows of a [M, K] or [M, k, K]; raises as `check_rows`."""
    shape_of("b", b)
    _, K = check_rows("a", a, ROW_CODES.get(given.quantization, ()), (2, 3))
    given.check(dtype_of(a))
    before = shape_of("a", a)[:-1]
    rows = math.prod(before)
    if dtype_of(a) in FLOATS:
        return GemmRows(a.reshape((rows, K)))
    wanted = given.row_codes(dtype_of(b))
    require(dtype_of(a) == wanted, "a", f"is {wanted} with b of {dtype_of(b)}", dtype_of(a), "Convert one of them.")
    shapes = [(*before, 1), before] if wanted == "int8" else [(*before, ceil_div(K, BLOCK))]
    found, scale = shape_of("a_scale", given.a_scale), given.a_scale
    require(found in shapes, "a_scale", f"is {shapes[0]}", found, "One a row, or one for each 128 columns of a row.")
    require(dtype_of(scale) == "float32", "a_scale", "is float32", dtype_of(scale), "Cast it.")
    check_finite("a_scale", scale)
    return GemmRows(a.reshape((rows, K)), scale.reshape((rows, shapes[0][-1])))
