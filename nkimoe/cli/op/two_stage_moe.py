# SPDX-License-Identifier: Apache-2.0
"""Both projections of each token's experts (aiter's e2e_moe and fused_moe)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement
from nkimoe.cli.op.grouped_gemm import results_agree
from nkimoe.cli.op.inputs import DTYPES, distinct_ids, normal_rows
from nkimoe.cli.op.request import OpRequest, choice, count, option
from nkimoe.cli.op.sizes import FP32, INT32, itemsize
from nkimoe.ops.fused_moe import ACTIVATIONS
from nkimoe.reference.two_stage_moe import two_stage_moe_reference


@dataclass(frozen=True)
class _TwoProjections(OpRequest):
    """What both have."""

    tokens: int = count(32, "Tokens.", "token")
    hidden: int = count(512, "Model dimension.", "model_dim")
    intermediate: int = count(512, "Intermediate dimension.", "inter_dim")
    experts: int = count(8, "Experts.", "expert")
    topk: int = count(2, "Experts of a token.", "topk")
    x_dtype: str = choice("bf16", ("bf16", "fp16"), "Type of rows, weights and results.", "dtype", "--in")

    def tensors(self, rng: np.random.Generator) -> dict[str, Any]:
        """By the names of the definition."""
        ids, dtype = distinct_ids(rng, self.tokens, self.experts, self.topk), DTYPES[self.x_dtype]
        E, H, I = self.experts, self.hidden, self.intermediate
        return {
            "hidden_states": rng.standard_normal((self.tokens, H)).astype(dtype),
            "w1": normal_rows(rng, (E, 2 * I, H), dtype),
            "w2": normal_rows(rng, (E, H, I), dtype),
            "topk_weights": rng.random(ids.shape, dtype=np.float32),
            "topk_ids": ids,
        }

    @property
    def useful_flops(self) -> float:
        return 2.0 * self.tokens * self.topk * 3 * self.intermediate * self.hidden

    @property
    def useful_bytes(self) -> int:
        """Each expert that may be used once; rows, results, ids and weights of pairs."""
        pairs = self.tokens * self.topk
        weights = min(self.experts, pairs) * 3 * self.intermediate * self.hidden
        return itemsize(self.x_dtype) * (weights + 2 * self.tokens * self.hidden) + (INT32 + FP32) * pairs

    def heading(self) -> str:
        return (
            f"[{self.x_dtype}] token:{self.tokens}, model_dim:{self.hidden}, inter_dim:{self.intermediate}, "
            f"expert:{self.experts}, topk:{self.topk}"
        )

    timing = OpRequest.timing_of_matrices

    def peer_json(self) -> dict[str, Any]:
        return {
            "dtype": self.x_dtype, "token": self.tokens, "model_dim": self.hidden, "inter_dim": self.intermediate,
            "expert": self.experts, "topk": self.topk,
        }  # fmt: skip


@dataclass(frozen=True)
class E2eMoe(_TwoProjections):
    """Both projections in one kernel."""

    name: ClassVar[str] = "e2e_moe"

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        tensors = self.tensors(rng)
        return {"a": tensors.pop("hidden_states"), **tensors}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        tensors = {name: value for name, value in arguments.items() if name != "a"}
        return results_agree(outputs, two_stage_moe_reference(arguments["a"], **tensors))


@dataclass(frozen=True)
class FusedMoe(_TwoProjections):
    """One projection of all pairs after the other."""

    name: ClassVar[str] = "fused_moe"

    activation: str = choice("silu", tuple(ACTIVATIONS), "What follows the first projection.", "act_type")
    doweight_stage1: bool = option(False, "Weights multiply in the first projection.")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        return {**self.tensors(rng), "activation": self.activation, "doweight_stage1": self.doweight_stage1}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return results_agree(outputs, two_stage_moe_reference(**arguments))

    def heading(self) -> str:
        return f"{super().heading()}, act_type:{self.activation}, doweight_stage1:{int(self.doweight_stage1)}"

    def peer_json(self) -> dict[str, Any]:
        return super().peer_json() | {"act_type": self.activation, "doweight_stage1": self.doweight_stage1}
