# SPDX-License-Identifier: Apache-2.0
"""Quantisers after smooth rows: Composable Kernel's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, rows_agree
from nkimoe.cli.op.inputs import DTYPES, distinct_ids, smooth_scales, uniform_rows, with_pitch
from nkimoe.cli.op.request import OpRequest, choice, count, stride
from nkimoe.cli.op.sizes import FP32, itemsize, pitch
from nkimoe.planning.row_quantisation.request import (
    EPS,
    FP8,
    INT8,
    ORDERS,
    RNE,
    ROUNDINGS,
    TOPK_MAJOR,
    ZERO_ROWS,
)
from nkimoe.reference.row_quantisation import (
    moe_smoothquant_reference,
    smoothquant_reference,
)

OUTS = (INT8, FP8)


def _defined(arguments: Mapping[str, Any], outputs: Any) -> dict[str, Any]:
    """Arguments of the definition, which knows no pitch, and fp8 by the name of its type."""
    given = {name: value for name, value in arguments.items() if name != "out_stride"}
    return given | {"out": str(outputs[0].dtype)}


@dataclass(frozen=True)
class MoeSmoothquant(OpRequest):
    """Quantise every token for each of its experts (Composable Kernel's example 14)."""

    name: ClassVar[str] = "moe_smoothquant"

    tokens: int = count(3328, "T.", "t")
    hidden: int = count(4096, "H, columns of a row.", "h")
    experts: int = count(32, "E.", "e")
    topk: int = count(5, "Experts of a token.", "k")
    stride: int = stride("Elements from row to row of x and of q", "stride")
    x_dtype: str = choice("fp16", tuple(DTYPES), "Type of x.", "prec_i", "--in")
    q_dtype: str = choice(INT8, OUTS, "Type of q; fp8 is the target's e4m3.", "prec_o", "--out")
    rounding: str = choice(RNE, ROUNDINGS, "Of int8 codes.")
    zero_row: str = choice(EPS, ZERO_ROWS, "What keeps the scale of a row of zeros from 0.")
    order: str = choice(TOPK_MAJOR, ORDERS, "Of the rows of q.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        x = uniform_rows(rng, (self.tokens, self.hidden), DTYPES[self.x_dtype])
        return {
            "x": with_pitch(x, self.stride),
            "smooth_scale": smooth_scales(rng, (self.experts, self.hidden)),
            "topk_ids": distinct_ids(rng, self.tokens, self.experts, self.topk),
            "out": self.q_dtype,
            "rounding": self.rounding,
            "zero_row": self.zero_row,
            "order": self.order,
            "out_stride": self._pitch,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return rows_agree(outputs, moe_smoothquant_reference(**_defined(arguments, outputs)))

    @property
    def useful_bytes(self) -> int:
        """Each smooth row that may be used once, and the ids."""
        return self._bytes(min(self.experts, self.topk * self.tokens)) + FP32 * self.topk * self.tokens

    @property
    def peer_bytes(self) -> int:
        """As many smooth rows as a token has experts, and no ids."""
        return self._bytes(self.topk)

    def _bytes(self, smooth_rows: int) -> int:
        T, H, k = self.tokens, self.hidden, self.topk
        return itemsize(self.x_dtype) * T * H + FP32 * smooth_rows * H + FP32 * k * T + k * T * H

    @property
    def _pitch(self) -> int:
        return pitch(self.hidden, self.stride)

    def heading(self) -> str:
        return (
            f"[{self.x_dtype}-{self.q_dtype}] tokens:{self.tokens}, hidden_size:{self.hidden}, "
            f"stride:{self._pitch}, experts:{self.experts}, topk:{self.topk}"
        )

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec_i": self.x_dtype,
            "prec_o": self.q_dtype,
            "tokens": self.tokens,
            "hidden_size": self.hidden,
            "stride": self._pitch,
            "experts": self.experts,
            "topk": self.topk,
        }


@dataclass(frozen=True)
class Smoothquant(OpRequest):
    """Quantise rows after one smooth row (Composable Kernel's example 12)."""

    name: ClassVar[str] = "smoothquant"
    without_effect: ClassVar[tuple[str, ...]] = ("e", "kname", "warmup", "repeat")

    tokens: int = count(3328, "T, rows.", "m")
    hidden: int = count(4096, "H, columns.", "n")
    x_stride: int = stride("Elements from row to row of x", "x_stride")
    out_stride: int = stride("Elements from row to row of q", "y_stride")
    x_dtype: str = choice("fp16", tuple(DTYPES), "Type of x.", "prec", "--in")
    q_dtype: str = choice(INT8, OUTS, "Type of q; fp8 is the target's e4m3.", flag="--out")
    rounding: str = choice(RNE, ROUNDINGS, "Of int8 codes.")
    zero_row: str = choice(EPS, ZERO_ROWS, "What keeps the scale of a row of zeros from 0.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        x = uniform_rows(rng, (self.tokens, self.hidden), DTYPES[self.x_dtype])
        return {
            "x": with_pitch(x, self.x_stride, "x_stride"),
            "smooth_scale": smooth_scales(rng, (self.hidden,)),
            "out": self.q_dtype,
            "rounding": self.rounding,
            "zero_row": self.zero_row,
            "out_stride": pitch(self.hidden, self.out_stride),
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return rows_agree(outputs, smoothquant_reference(**_defined(arguments, outputs)))

    @property
    def useful_bytes(self) -> int:
        T, H = self.tokens, self.hidden
        return itemsize(self.x_dtype) * T * H + FP32 * H + FP32 * T + T * H

    def heading(self) -> str:
        x_pitch, q_pitch = (pitch(self.hidden, given) for given in (self.x_stride, self.out_stride))
        return f"[{self.x_dtype}] m:{self.tokens}, n:{self.hidden}, x_stride:{x_pitch}, y_stride:{q_pitch}"

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec": self.x_dtype,
            "m": self.tokens,
            "n": self.hidden,
            "x_stride": pitch(self.hidden, self.x_stride),
            "y_stride": pitch(self.hidden, self.out_stride),
        }
