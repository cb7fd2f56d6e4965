# SPDX-License-Identifier: Apache-2.0
"""SGLang's experts: int8 weights and int8 activations, or both in 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, experts_agree
from nkimoe.cli.op.inputs import DTYPES, int8_weights, normal_rows, softmax_choices, weight_scales
from nkimoe.cli.op.request import OpRequest, choice, count, option
from nkimoe.cli.op.sizes import FP32, INT32, itemsize
from nkimoe.ops.expert_arguments import INT8_W8A8, QUANTISATIONS
from nkimoe.reference.expert_ops import fused_experts_reference, shared_expert_reference

HALVES = ("bf16", "fp16")


def quantization_choice() -> Any:
    """A field of one of those that SGLang's experts have here."""
    return choice(INT8_W8A8, QUANTISATIONS, "Of weights and activations.", "quant")


def drawn_matrices(rng: np.random.Generator, quantization: str, dtype: Any, *shapes: tuple[int, ...]) -> dict[str, Any]:
    """w1 and w2 of these shapes, int8 with a scale a row, or the numbers that these mean."""
    named = list(zip(("w1", "w2"), shapes, strict=True))
    codes = {name: int8_weights(rng, shape) for name, shape in named}
    scales = {f"{name}_scale": weight_scales(rng, shape[:-1]) for name, shape in named}
    if quantization == INT8_W8A8:
        return codes | scales | {"quantization": quantization}
    plain = {name: (codes[name] * scales[f"{name}_scale"][..., None]).astype(dtype) for name in codes}
    return plain | {"quantization": quantization}


def of_definition(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the definition takes, which knows quantised weights by their scales."""
    return {name: value for name, value in arguments.items() if name != "quantization"}


def types_word(quantization: str, x_dtype: str) -> str:
    """Of x and of the weights."""
    return f"{x_dtype}-{'int8' if quantization == INT8_W8A8 else x_dtype}"


def expert_bytes(hidden: int, intermediate: int, first_rows: int) -> int:
    """Codes and scales of one expert, whose first matrix has so many rows."""
    return (first_rows + intermediate) * hidden + FP32 * (first_rows + hidden)


def gated_bytes(quantization: str, hidden: int, intermediate: int) -> int:
    """Of one expert with gate and up."""
    if quantization == INT8_W8A8:
        return expert_bytes(hidden, intermediate, 2 * intermediate)
    return 3 * hidden * intermediate * itemsize("bf16")


@dataclass(frozen=True)
class RoutedExperts(OpRequest):
    """The routed experts of a layer (SGLang)."""

    name: ClassVar[str] = "fused_experts"

    tokens: int = count(64, "M.", "t")
    hidden: int = count(512, "K.", "h")
    intermediate: int = count(512, "N, of an expert.", "i")
    experts: int = count(8, "E.", "e")
    topk: int = count(4, "Experts of a token.", "k")
    quantization: str = quantization_choice()
    x_dtype: str = choice("bf16", HALVES, "Type of x and of the result.", "prec", "--in")
    round_each: bool = option(True, "Round each choice's result before the sum.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        E, N, K = self.experts, self.intermediate, self.hidden
        weights, ids = softmax_choices(rng, self.tokens, E, self.topk)
        return {
            "x": normal_rows(rng, (self.tokens, K), DTYPES[self.x_dtype]),
            **drawn_matrices(rng, self.quantization, DTYPES[self.x_dtype], (E, 2 * N, K), (E, K, N)),
            "topk_weights": weights,
            "topk_ids": ids,
            "round_each": self.round_each,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        roundings = self.topk if self.round_each else 0
        expected, is_int8 = fused_experts_reference(**of_definition(arguments)), self.quantization == INT8_W8A8
        return experts_agree(outputs, expected, roundings, self.intermediate, is_int8)

    @property
    def useful_flops(self) -> float:
        return 6.0 * self.tokens * self.topk * self.hidden * self.intermediate

    @property
    def useful_bytes(self) -> int:
        """Each expert that may be used once, x, ids, weights and the result."""
        pairs = self.tokens * self.topk
        experts = min(self.experts, pairs) * gated_bytes(self.quantization, self.hidden, self.intermediate)
        return experts + 2 * itemsize(self.x_dtype) * self.tokens * self.hidden + (INT32 + FP32) * pairs

    def heading(self) -> str:
        return (
            f"[{types_word(self.quantization, self.x_dtype)}] tokens:{self.tokens}, experts:{self.experts}, "
            f"topk:{self.topk}, hidden_size:{self.hidden}, intermediate_size:{self.intermediate}"
        )

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec": self.x_dtype,
            "quantization": self.quantization,
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
    quantization: str = quantization_choice()
    x_dtype: str = choice("bf16", HALVES, "Type of x, of routed results and of the result.", "prec", "--in")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        N, K, dtype = self.intermediate, self.hidden, DTYPES[self.x_dtype]
        x, routed = (normal_rows(rng, (self.tokens, K), np.float32) / np.sqrt(K) for _ in range(2))
        return {
            "x": x.astype(dtype),
            **drawn_matrices(rng, self.quantization, dtype, (2 * N, K), (K, N)),
            "fused_experts_out": routed.astype(dtype),
            "routed_scaling_factor": self.factor,
        }

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        expected, is_int8 = shared_expert_reference(**of_definition(arguments)), self.quantization == INT8_W8A8
        return experts_agree(outputs, expected, 0, self.intermediate, is_int8)

    @property
    def useful_flops(self) -> float:
        return 6.0 * self.tokens * self.hidden * self.intermediate

    @property
    def useful_bytes(self) -> int:
        """The expert, x, routed results and the result."""
        rows = 3 * itemsize(self.x_dtype) * self.tokens * self.hidden
        return gated_bytes(self.quantization, self.hidden, self.intermediate) + rows

    def heading(self) -> str:
        return (
            f"[{types_word(self.quantization, self.x_dtype)}] tokens:{self.tokens}, hidden_size:{self.hidden}, "
            f"intermediate_size:{self.intermediate}, factor:{self.factor:g}"
        )

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec": self.x_dtype,
            "quantization": self.quantization,
            "tokens": self.tokens,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "routed_scaling_factor": self.factor,
        }
