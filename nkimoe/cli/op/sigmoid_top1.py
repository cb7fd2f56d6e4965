# SPDX-License-Identifier: Apache-2.0
"""The router of layers with one expert a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, close, equal
from nkimoe.cli.op.inputs import DTYPES
from nkimoe.cli.op.request import OpRequest, choice, count, option
from nkimoe.cli.op.sizes import FP32, INT32, itemsize
from nkimoe.reference.routing_ops import WEIGHT_TOLERANCE, routing_sigmoid_top1_reference


@dataclass(frozen=True)
class RoutingSigmoidTop1(OpRequest):
    """Each token's expert with the largest logit of x w (aiter)."""

    name: ClassVar[str] = "routing_sigmoid_top1"

    tokens: int = count(1024, "M.", "m")
    experts: int = count(128, "N.", "n")
    hidden: int = count(128, "K.", "k")
    x_dtype: str = choice("bf16", tuple(DTYPES), "Type of x and w.", "prec", "--in")
    fused_shared_experts: bool = option(False, "The shared expert is one more, N.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        """Integers from -2 to 2, as aiter draws them: sums are exact."""
        dtype = DTYPES[self.x_dtype]
        return {
            "x": rng.integers(-2, 3, (self.tokens, self.hidden)).astype(dtype),
            "w": rng.integers(-2, 3, (self.hidden, self.experts)).astype(dtype),
            "fused_shared_experts": self.fused_shared_experts,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        weights, ids = routing_sigmoid_top1_reference(**arguments)
        return [equal("ids", outputs[1], ids), close("weights", outputs[0], weights, WEIGHT_TOLERANCE)]

    @property
    def useful_bytes(self) -> int:
        read = itemsize(self.x_dtype) * self.hidden * (self.tokens + self.experts)
        return read + (FP32 + INT32) * self.tokens * (1 + self.fused_shared_experts)

    def heading(self) -> str:
        return f"[{self.x_dtype}] m:{self.tokens}, n:{self.experts}, k:{self.hidden}"

    def peer_json(self) -> dict[str, Any]:
        return {"prec": self.x_dtype, "m": self.tokens, "n": self.experts, "k": self.hidden}
