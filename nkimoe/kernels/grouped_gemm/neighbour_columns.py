# SPDX-License-Identifier: Apache-2.0
"""Rows of a as MX operands, quantised on chip: four neighbouring columns of a row are one packed element.

A block of 32 neighbours lies on eight partitions, where `quantize_mx` gives it one scale.
"""

from __future__ import annotations

from nkimoe.kernels.stages.mx.inputs import Blockwise
from nkimoe.kernels.stages.mx.transpose_tokens import PackedTokenColumns
from nkimoe.kernels.stages.token_columns import hidden_rows
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.mx.tiling import QUARTERS
from nkimoe.planning.tiling import Span


class NeighbourColumns(PackedTokenColumns):
    """Tokens as columns [128, K/512, tokens]."""

    def __init__(self, plan: GemmPlan, dtype: DType) -> None:
        K = plan.problem.H
        super().__init__(K, plan.tiling, Span(0, K // QUARTERS), Blockwise(dtype))

    def _source(self, row: Tensor, tile: int, q: int) -> Tensor:
        return row[:, hidden_rows(tile * QUARTERS + q, QUARTERS)]
