# SPDX-License-Identifier: Apache-2.0
"""Rows as e4m3, each 128 columns with a scale of their own: codes, and behind them the bytes of their scales.

scale = max(amax of the group, 1e-7) / largest        q = x * (largest / amax), the factor rounded first
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.exact_factor import exact_factor
from nkimoe.kernels.stages.exact_scale import exact_scale, largest_magnitude, limited
from nkimoe.kernels.stages.int8.code_rows import SCALE_BYTES, coded_rows
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.quantization import LARGEST_FP8
from nkimoe.planning.tiling import PARTITIONS, spans


def group_codes(rows: Tensor, dtype: str) -> Tensor:
    """int8 [M, K + 4 K / 128] of rows [M, K], K a multiple of 128."""
    K, largest, fp8 = int(rows.shape[1]), LARGEST_FP8[dtype], getattr(nl, dtype)
    groups = spans(K, PARTITIONS)

    def code(rows: list[Tensor], values: list[Tensor]) -> None:
        for row, tile in zip(rows, values, strict=True):
            code_tile(row, tile)

    def code_tile(row: Tensor, values: Tensor) -> None:
        amax: Tensor = nl.ndarray((values.shape[0], len(groups)), dtype=nl.float32, buffer=nl.sbuf)
        for g, columns in enumerate(groups):
            largest_magnitude(amax[:, g : g + 1], values[:, columns.slice])
        amax = limited(amax)
        factor, codes = exact_factor(amax, largest), row[:, 0:K].view(fp8)
        for g, columns in enumerate(groups):
            own = factor[:, g : g + 1]
            nisa.activation(dst=codes[:, columns.slice], op=nl.copy, data=values[:, columns.slice], scale=own)
        nisa.tensor_copy(dst=row[:, K:].view(nl.float32), src=exact_scale(amax, largest))

    return coded_rows(rows, K + SCALE_BYTES * len(groups), code)
