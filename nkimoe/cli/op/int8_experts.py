"""Experts with int8 weights and int8 activations: SGLang's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, experts_agree
from nkimoe.cli.op.inputs import DTYPES, int8_weights, normal_rows, softmax_choices, weight_scales
from nkimoe.cli.op.request import OpRequest, choice, count, option
from nkimoe.cli.op.sizes import FP32, INT32, itemsize
from nkimoe.ops.expert_arguments import INT8_W8A8
from nkimoe.reference.expert_ops import fused_experts_reference, shared_expert_reference

HALVES = ("bf16", "fp16")


def expert_bytes(hidden: int, intermediate: int, first_rows: int) -> int:
    """Codes and scales of one expert, whose first matrix has so many rows."""
    return (first_rows + intermediate) * hidden + FP32 * (first_rows + hidden)


@dataclass(frozen=True)
class RoutedExperts(OpRequest):
    """The routed experts of a layer, int8 weights and activations (SGLang)."""

    name: ClassVar[str] = "fused_experts"

    tokens: int = count(64, "M.", "t")
    hidden: int = count(512, "K.", "h")
    intermediate: int = count(512, "N, of an expert.", "i")
    experts: int = count(8, "E.", "e")
    topk: int = count(4, "Experts of a token.", "k")
    x_dtype: str = choice("bf16", HALVES, "Type of x and of the result.", "prec", "--in")
    round_each: bool = option(True, "Round each choice's result before the sum.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        E, N, K = self.experts, self.intermediate, self.hidden
        weights, ids = softmax_choices(rng, self.tokens, E, self.topk)
        return {
            "x": normal_rows(rng, (self.tokens, K), DTYPES[self.x_dtype]),
            "w1": int8_weights(rng, (E, 2 * N, K)),
            "w2": int8_weights(rng, (E, K, N)),
            "topk_weights": weights,
            "topk_ids": ids,
            "w1_scale": weight_scales(rng, (E, 2 * N)),
            "w2_scale": weight_scales(rng, (E, K)),
            "round_each": self.round_each,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        roundings = self.topk if self.round_each else 0
        return experts_agree(outputs, fused_experts_reference(**arguments), roundings, self.intermediate)

    @property
    def useful_flops(self) -> float:
        return 6.0 * self.tokens * self.topk * self.hidden * self.intermediate

    @property
    def useful_bytes(self) -> int:
        """Each expert that may be used once, x, ids, weights and the result."""
        pairs = self.tokens * self.topk
        experts = min(self.experts, pairs) * expert_bytes(self.hidden, self.intermediate, 2 * self.intermediate)
        return experts + 2 * itemsize(self.x_dtype) * self.tokens * self.hidden + (INT32 + FP32) * pairs

    def heading(self) -> str:
        return (
            f"[{self.x_dtype}-int8] tokens:{self.tokens}, experts:{self.experts}, topk:{self.topk}, "
            f"hidden_size:{self.hidden}, intermediate_size:{self.intermediate}"
        )

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec": self.x_dtype,
            "quantization": INT8_W8A8,
            "tokens": self.tokens,
            "experts": self.experts,
            "topk": self.topk,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
        }


@dataclass(frozen=True)
class SharedExpert(OpRequest):
    """The expert of all tokens, added to what the routed ones gave (SGLang)."""

    name: ClassVar[str] = "shared_expert"

    tokens: int = count(121, "M.", "t")
    hidden: int = count(64, "K.", "h")
    intermediate: int = count(128, "N.", "i")
    factor: float = option(16.0, "What routed results are multiplied with.")
    x_dtype: str = choice("bf16", HALVES, "Type of x, of routed results and of the result.", "prec", "--in")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        N, K, dtype = self.intermediate, self.hidden, DTYPES[self.x_dtype]
        x, routed = (normal_rows(rng, (self.tokens, K), np.float32) / np.sqrt(K) for _ in range(2))
        return {
            "x": x.astype(dtype),
            "w1": int8_weights(rng, (2 * N, K)),
            "w2": int8_weights(rng, (K, N)),
            "fused_experts_out": routed.astype(dtype),
            "routed_scaling_factor": self.factor,
            "w1_scale": weight_scales(rng, (2 * N,)),
            "w2_scale": weight_scales(rng, (K,)),
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return experts_agree(outputs, shared_expert_reference(**arguments), 0, self.intermediate)

    @property
    def useful_flops(self) -> float:
        return 6.0 * self.tokens * self.hidden * self.intermediate

    @property
    def useful_bytes(self) -> int:
        """The expert, x, routed results and the result."""
        rows = 3 * itemsize(self.x_dtype) * self.tokens * self.hidden
        return expert_bytes(self.hidden, self.intermediate, 2 * self.intermediate) + rows

    def heading(self) -> str:
        return (
            f"[{self.x_dtype}-int8] tokens:{self.tokens}, hidden_size:{self.hidden}, "
            f"intermediate_size:{self.intermediate}, factor:{self.factor:g}"
        )

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec": self.x_dtype,
            "quantization": INT8_W8A8,
            "tokens": self.tokens,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "routed_scaling_factor": self.factor,
        }
