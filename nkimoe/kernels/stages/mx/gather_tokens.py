# SPDX-License-Identifier: Apache-2.0
"""Gathering parts of each quarter of the hidden rows."""

from __future__ import annotations

from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.token_columns import ColumnTiling
from nkimoe.kernels.tensor import OutOfBounds, Pattern
from nkimoe.planning.mx.tiling import QUARTERS
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import Span


class QuarterRows(TokenRows):
    """Columns `columns` of each quarter of the hidden rows, one after another."""

    def __init__(self, request: Request, columns: Span, tiling: ColumnTiling, out_of_bounds: OutOfBounds) -> None:
        super().__init__(request, Span(columns.start, QUARTERS * columns.size), tiling, out_of_bounds)

    def pattern(self, H: int, rows: int, size: int) -> Pattern:
        return [[H, rows], [H // QUARTERS, QUARTERS], [1, size // QUARTERS]]
