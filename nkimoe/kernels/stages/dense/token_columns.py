# SPDX-License-Identifier: Apache-2.0
"""Tokens as columns, in the form that gate and up weights are multiplied with."""

from __future__ import annotations

from nkimoe.kernels.stages.dense.weights import DenseWeights
from nkimoe.kernels.stages.gather_tokens import TokenRows
from nkimoe.kernels.stages.token_columns import TokenColumns
from nkimoe.planning.tiling import Span, Tiling


def token_columns(H: int, tiling: Tiling, own: Span, weights: DenseWeights, rows: TokenRows) -> TokenColumns:
    """Those of a part, of which this core gathers the columns `own` of H."""
    return TokenColumns(H, tiling, own, weights.gate_up_inputs)
