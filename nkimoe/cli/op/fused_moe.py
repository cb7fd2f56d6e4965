# SPDX-License-Identifier: Apache-2.0
"""Composable Kernel's fused MoE, with dynamic smooth quantisation of both activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import click
import numpy as np

from nkimoe.cli.op.agreement import Agreement, experts_agree
from nkimoe.cli.op.inputs import (
    DTYPES,
    distinct_ids,
    int8_weights,
    smooth_scales,
    uniform_rows,
    weight_scales,
    with_pitch,
)
from nkimoe.cli.op.request import OpRequest, choice, count, option, stride
from nkimoe.cli.op.sglang_experts import HALVES, expert_bytes
from nkimoe.cli.op.sizes import FP32, INT32, itemsize, pitch
from nkimoe.errors import require
from nkimoe.planning.block_size import block_size_for
from nkimoe.reference.expert_ops import fused_moe_smoothquant_reference
from nkisim.command_help import OneOf

ACTIVATIONS = ("gelu", "silu")  # in the order of the peer's numbers


class ActivationWord(OneOf):
    """A word, or the peer's number of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        numbers = {str(number): word for number, word in enumerate(ACTIVATIONS)}
        return super().convert(numbers.get(value, value), param, ctx)


@dataclass(frozen=True)
class FusedMoeSmoothquant(OpRequest):
    """Quantised experts behind smooth rows of their own (Composable Kernel's example 15 with fquant 1)."""

    name: ClassVar[str] = "fused_moe_smoothquant"
    fixed: ClassVar[Mapping[str, str]] = {
        "api": "0", "fquant": "1", "init": "1", "local_t": "-1", "prec_w": "int8", "prec_st": "fp32",
        "prec_sw": "fp32", "prec_sq": "fp32", "prec_kw": "fp32",
    }  # fmt: skip

    tokens: int = count(128, "T.", "t")
    experts: int = count(32, "E.", "e")
    topk: int = count(5, "Experts of a token.", "k")
    hidden: int = count(8192, "H.", "h")
    intermediate: int = count(8192, "I of all ranks.", "i")
    stride: int = stride("Elements from row to row of x", "stride")
    block_size: int = option(-1, "Slots of a block; -1: chosen.", key="bm", type=click.INT)
    tp: int = count(8, "Ranks that share I.", "tp")
    activation: str = option("gelu", "gelu or silu, or 0 or 1.", key="act", type=ActivationWord(ACTIVATIONS))
    gate_only: int = option(1, "1: act(gate) without up.", key="gate_only", type=click.IntRange(0, 1))
    balance: int = option(0, "1: ids go round the experts.", key="balance", type=click.IntRange(0, 1))
    x_dtype: str = choice("bf16", HALVES, "Type of x.", "prec_i", "--in")
    out_dtype: str = choice("auto", ("auto", *HALVES), "Type of the result, that of x.", "prec_o", "--out")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        require(self.intermediate % self.tp == 0, "tp", f"divides i = {self.intermediate}", self.tp, "Pad I first.")
        is_same = self.out_dtype in ("auto", self.x_dtype)
        require(is_same, "out", f"is {self.x_dtype}, as x", self.out_dtype, "Leave it out.")
        E, I, H = self.experts, self._columns, self.hidden
        ids = distinct_ids(rng, self.tokens, E, self.topk)
        if self.balance:
            ids = (np.arange(ids.size, dtype=np.int32) % E).reshape(ids.shape)
        return {
            "x": with_pitch(uniform_rows(rng, (self.tokens, H), DTYPES[self.x_dtype]), self.stride),
            "w1": int8_weights(rng, (E, self._rows, H)),
            "w2": int8_weights(rng, (E, H, I)),
            "topk_weights": uniform_rows(rng, ids.shape, np.float32),
            "topk_ids": ids,
            "w1_scale": weight_scales(rng, (E, self._rows)),
            "w2_scale": weight_scales(rng, (E, H)),
            "smooth_scale1": smooth_scales(rng, (E, H)),
            "smooth_scale2": smooth_scales(rng, (E, I)),
            "activation": self.activation,
            "block_size": None if self.block_size < 0 else self.block_size,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        defined = {name: value for name, value in arguments.items() if name != "block_size"}
        return experts_agree(outputs, fused_moe_smoothquant_reference(**defined), 0, self._columns)

    @property
    def _columns(self) -> int:
        return self.intermediate // self.tp

    @property
    def _rows(self) -> int:
        return self._columns * (1 if self.gate_only else 2)

    @property
    def useful_flops(self) -> float:
        return 2.0 * self.tokens * self.topk * (self._rows + self._columns) * self.hidden

    @property
    def useful_bytes(self) -> int:
        """Each expert that may be used once, with its smooth rows; x, ids, weights and the result."""
        pairs, H, I = self.tokens * self.topk, self.hidden, self._columns
        experts = min(self.experts, pairs) * (expert_bytes(H, I, self._rows) + FP32 * (H + I))
        return experts + 2 * itemsize(self.x_dtype) * self.tokens * H + (INT32 + FP32) * pairs

    @property
    def peer_bytes(self) -> int:
        """All experts, weights, and one expert's share of x and of the result."""
        pairs, H = self.tokens * self.topk, self.hidden
        rows = 2 * itemsize(self.x_dtype) * pairs * H / self.experts
        return int((self._rows + self._columns) * self.experts * H + rows + FP32 * pairs)

    @property
    def _types(self) -> str:
        return f"{self.x_dtype}xint8(fp32|fp32|fp32)"

    def heading(self) -> str:
        step = pitch(self.hidden, self.stride)
        gap = "" if step == self.hidden else f", st:{step}"
        return (
            f"[fmoe|{self._types}] t:{self.tokens}, e:{self.experts}, k:{self.topk}{gap}, hidden:{self.hidden}, "
            f"interm:{self.intermediate}, tp:{self.tp}, act:{ACTIVATIONS.index(self.activation)}, "
            f"{'g1u0' if self.gate_only else 'g1u1'}, q:1"
        )

    def timing(self, us: float, gb_per_sec: float) -> str:
        return f"{us:.2f} us, {self.useful_flops / us / 1e6:.4g} tflops, {gb_per_sec / 1e3:.4g} TB/s"

    def peer_json(self) -> dict[str, Any]:
        chosen = block_size_for(self.tokens * self.topk, self.experts)
        return {
            "api": "fmoe",
            "prec": self._types,
            "tokens": self.tokens,
            "experts": self.experts,
            "topk": self.topk,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "stride": pitch(self.hidden, self.stride),
            "block_m": chosen if self.block_size < 0 else self.block_size,
            "activation": ACTIVATIONS.index(self.activation),
            "gate_only": self.gate_only,
            "fused_quant": 1,
        }
