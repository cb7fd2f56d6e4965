# SPDX-License-Identifier: Apache-2.0
"""SGLang's int8 quantisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, rows_agree
from nkimoe.cli.op.inputs import DTYPES, normal_rows, with_pitch
from nkimoe.cli.op.request import OpRequest, choice, count, stride
from nkimoe.cli.op.sizes import FP32, itemsize, pitch
from nkimoe.reference.row_quantisation import quantize_int8_reference


@dataclass(frozen=True)
class PerTokenInt8(OpRequest):
    """Quantise activations, a scale a token (SGLang)."""

    name: ClassVar[str] = "quantize_per_token_int8"

    tokens: int = count(3328, "T.", "t")
    hidden: int = count(4096, "H, columns of a row.", "h")
    stride: int = stride("Elements from row to row of x", "stride")
    x_dtype: str = choice("bf16", tuple(DTYPES), "Type of x.", "prec", "--in")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        x = normal_rows(rng, (self.tokens, self.hidden), DTYPES[self.x_dtype])
        return {"x": with_pitch(x, self.stride)}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return rows_agree(outputs, quantize_int8_reference(arguments["x"]), most_unequal=0)

    @property
    def useful_bytes(self) -> int:
        return (itemsize(self.x_dtype) + 1) * self.tokens * self.hidden + FP32 * self.tokens

    def heading(self) -> str:
        return f"[{self.x_dtype}] tokens:{self.tokens}, hidden_size:{self.hidden}, stride:{self._pitch}"

    def peer_json(self) -> dict[str, Any]:
        return {"prec": self.x_dtype, "tokens": self.tokens, "hidden_size": self.hidden, "stride": self._pitch}

    @property
    def _pitch(self) -> int:
        return pitch(self.hidden, self.stride)


@dataclass(frozen=True)
class PerChannelInt8(OpRequest):
    """Quantise weights, a scale an output channel (SGLang)."""

    name: ClassVar[str] = "quantize_per_channel_int8"

    experts: int = count(8, "E.", "e")
    channels: int = count(1536, "N, output channels of an expert.", "n")
    hidden: int = count(2048, "K, columns that share a scale.", "k")
    w_dtype: str = choice("bf16", tuple(DTYPES), "Type of w.", "prec", "--in")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": normal_rows(rng, (self.experts, self.channels, self.hidden), DTYPES[self.w_dtype])}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return rows_agree(outputs, quantize_int8_reference(arguments["w"]), most_unequal=0)

    @property
    def useful_bytes(self) -> int:
        rows = self.experts * self.channels
        return (itemsize(self.w_dtype) + 1) * rows * self.hidden + FP32 * rows

    def heading(self) -> str:
        return f"[{self.w_dtype}] experts:{self.experts}, n:{self.channels}, k:{self.hidden}"

    def peer_json(self) -> dict[str, Any]:
        return {"prec": self.w_dtype, "experts": self.experts, "n": self.channels, "k": self.hidden}
