# SPDX-License-Identifier: Apache-2.0
"""One quantisation of rows as a value: what `nkimoe.ops` offers under several names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TOPK_MAJOR, TOKEN_MAJOR = "topk_major", "token_major"
ORDERS = (TOPK_MAJOR, TOKEN_MAJOR)
EPS, PLUS = "eps", "plus"
ZERO_ROWS = (EPS, PLUS)
RNE, TRUNC, AWAY = "rne", "trunc", "away"
ROUNDINGS = (RNE, TRUNC, AWAY)
INT8, FP8 = "int8", "fp8"


@dataclass(frozen=True, eq=False)
class RowQuantisation:
    """q, scale of rows x * smooth.

    Attributes:
        operation: the public name, for messages.
        x: [T, H], or [T, k, H], a row for each choice.
        smooth_scale: [E, H] with ids, [H] without, or None.
        topk_ids: int32 [T, k], or None: every token has one row.
        out: "int8", "fp8" (the target's e4m3) or the name of an e4m3 type.
        rounding, zero_row, order: one of ROUNDINGS, ZERO_ROWS, ORDERS.
        out_stride: elements from row to row of q; None: H.
        divides: codes are those of y / scale. False: of y * (largest / amax), the factor rounded first, as SGLang does.
    """

    operation: str
    x: Any
    smooth_scale: Any = None
    topk_ids: Any = None
    out: str = INT8
    rounding: str = RNE
    zero_row: str = EPS
    order: str = TOPK_MAJOR
    out_stride: int | None = None
    divides: bool = True
