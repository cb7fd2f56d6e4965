# SPDX-License-Identifier: Apache-2.0
"""The router of a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, close, equal
from nkimoe.cli.op.inputs import DTYPES, distinct_logits, with_pitch
from nkimoe.cli.op.request import OpRequest, choice, count, option, stride
from nkimoe.cli.op.sizes import FP32, INT32, itemsize, pitch
from nkimoe.reference.routing_ops import WEIGHT_TOLERANCE, topk_softmax_reference


@dataclass(frozen=True)
class TopkSoftmax(OpRequest):
    """Each token's most probable experts (Composable Kernel's example 09)."""

    name: ClassVar[str] = "topk_softmax"
    fixed: ClassVar[Mapping[str, str]] = {"pr_w": "fp32"}

    tokens: int = count(32, "T.", "t")
    experts: int = count(8, "E.", "e")
    topk: int = count(2, "Experts of a token.", "k")
    in_stride: int = stride("Elements from row to row of the logits", "st_i")
    out_stride: int = stride("Elements from row to row of weights and ids", "st_o")
    logits_dtype: str = choice("fp16", tuple(DTYPES), "Type of the logits.", "pr_i", "--in")
    renormalize: bool = option(False, "Divide rows of weights by their sums.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        logits = distinct_logits(rng, self.tokens, self.experts, DTYPES[self.logits_dtype])
        return {
            "logits": with_pitch(logits, self.in_stride, "in_stride"),
            "top_k": self.topk,
            "renormalize": self.renormalize,
            "out_stride": None if self.out_stride < 0 else self.out_stride,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        weights, ids = topk_softmax_reference(arguments["logits"], self.topk, self.renormalize)
        return [equal("ids", outputs[1], ids), close("weights", outputs[0], weights, WEIGHT_TOLERANCE)]

    @property
    def useful_bytes(self) -> int:
        return itemsize(self.logits_dtype) * self.tokens * self.experts + (FP32 + INT32) * self.tokens * self.topk

    def heading(self) -> str:
        in_pitch, out_pitch = self._pitches()
        return (
            f"[{self.logits_dtype}|fp32]tokens:{self.tokens}, experts:{self.experts}, topk:{self.topk}, "
            f"st_i:{in_pitch}, st_o:{out_pitch}"
        )

    def timing(self, us: float, gb_per_sec: float) -> str:
        return f"ms:{us / 1e3:f}"

    def peer_json(self) -> dict[str, Any]:
        in_pitch, out_pitch = self._pitches()
        return {
            "input_prec": self.logits_dtype,
            "weight_prec": "fp32",
            "tokens": self.tokens,
            "experts": self.experts,
            "topk": self.topk,
            "stride_input": in_pitch,
            "stride_output": out_pitch,
        }

    def _pitches(self) -> tuple[int, int]:
        return pitch(self.experts, self.in_stride), pitch(self.topk, self.out_stride)
