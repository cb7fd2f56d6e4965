# SPDX-License-Identifier: Apache-2.0
"""One projection of each pair (aiter's fused_moe, fused_moe_silu and fused_moe_gelu)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.cli.op.agreement import Agreement
from nkimoe.cli.op.inputs import DTYPES, distinct_ids, normal_rows
from nkimoe.cli.op.request import OpRequest, choice, count, option
from nkimoe.cli.op.sizes import FP32, INT32, itemsize
from nkimoe.ops.expert_arguments import INT8_W8A8, UNQUANT
from nkimoe.ops.gemm_quantisation import BLOCKS, FP8_W8A8, FP8_W8A16, INT4_W4A16, INT8_W8A16, MX, MXFP4, QUANTISATIONS
from nkimoe.planning.grouped_gemm.column_runs import BLOCK
from nkimoe.planning.grouped_gemm.request import GELU, GELU_MUL, HALVED, SILU, SWIGLU
from nkimoe.planning.shares import MX_BLOCK
from nkimoe.planning.tiling import ceil_div
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference, gemm_tolerance
from nkimoe.reference.tolerance import distance

WEIGHTS_A_BYTE = {UNQUANT: 0.5, INT4_W4A16: 2.0, MXFP4: 2.0}  # 1 of others
ONE = 127  # the scale code of 2**0
A_SCALE = 0.02  # of standard normal rows: 240 times that is 4.8


def results_agree(found: Array, expected: Array) -> list[Agreement]:
    """Of rows that are rounded once."""
    apart, bounds = distance(found, expected), gemm_tolerance(str(found.dtype))
    return [
        Agreement("relative error", apart.rel_l2, bounds.rel_l2),
        Agreement("relative error of the worst row", apart.worst_row, bounds.worst_row),
    ]


@dataclass(frozen=True)
class FusedMoeGemm(OpRequest):
    """A projection of each token by each of its experts (aiter)."""

    name: ClassVar[str] = "fused_moe_gemm"

    tokens: int = count(32, "M.", "m")
    columns: int = count(1024, "N.", "n")
    hidden: int = count(512, "K.", "k")
    experts: int = count(8, "E.", "e")
    topk: int = count(2, "Experts of a token.", "topk")
    epilogue: str = choice("none", ("none", SILU, GELU_MUL, GELU, SWIGLU), "What follows the products.", "epilogue")
    quantization: str = choice(UNQUANT, QUANTISATIONS, "Of weights and rows.", "quant")
    group_size: int = count(64, "Rows of int4 weights with one scale.", "group_size")
    has_zeros: bool = option(False, "Groups have zeros of their own.")
    routed_weight: bool = option(True, "Results are multiplied by the weights of their pairs.")
    a_dtype: str = choice("bf16", ("bf16", "fp16"), "Type of rows and results.", "prec", "--in")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        """Standard normal rows, and weights that leave results so."""
        ids = distinct_ids(rng, self.tokens, self.experts, self.topk)
        weights = rng.random(ids.shape, dtype=np.float32)
        return {
            "a": rng.standard_normal((self.tokens, self.hidden)).astype(DTYPES[self.a_dtype]),
            "topk_ids": ids,
            "topk_weights": weights if self.routed_weight else None,
            "epilogue": None if self.epilogue == "none" else self.epilogue,
            "quantization": self.quantization,
            **self._weights(rng),
        }

    def _weights(self, rng: np.random.Generator) -> dict[str, Any]:
        E, N, K, groups = self.experts, self.columns, self.hidden, self.hidden // self.group_size
        if self.quantization == UNQUANT:
            return {"b": normal_rows(rng, (E, N, K), DTYPES[self.a_dtype])}
        step = np.float32(1 / np.sqrt(K))
        if self.quantization == INT4_W4A16:
            given = {
                "b": rng.integers(0, 256, (E, N, K // 2)).astype(np.uint8),
                "b_scale": rng.uniform(0.1, 0.3, (E, N, groups)).astype(np.float32) * step,
                "group_size": self.group_size,
            }
            zeros = {"zero_point": rng.integers(0, 256, (E, N // 2, groups)).astype(np.uint8)}
            return given | (zeros if self.has_zeros else {})
        if self.quantization in (INT8_W8A16, INT8_W8A8):
            codes = rng.integers(-127, 128, (E, N, K)).astype(np.int8)
            return {"b": codes, "b_scale": rng.uniform(0.5, 1.5, (E, N)).astype(np.float32) * step / 73}
        if self.quantization in MX:
            return self._mx_weights(rng)
        fp8 = rng.standard_normal((E, N, K)).astype(ml_dtypes.float8_e4m3)
        shape = (E, *self._blocks) if self.quantization in BLOCKS else E
        given = {"b": fp8, "b_scale": rng.uniform(0.5, 1.5, shape).astype(np.float32) * step}
        return given | ({"a_scale": np.array([A_SCALE], np.float32)} if self.quantization == FP8_W8A8 else {})

    def _mx_weights(self, rng: np.random.Generator) -> dict[str, Any]:
        E, N, K = self.experts, self.columns, self.hidden
        scale = ONE - round(math.log2(K) / 2) + rng.integers(-1, 2, (E, N, K // MX_BLOCK))
        if self.quantization == MXFP4:
            codes = rng.integers(0, 256, (E, N, K // 2)).astype(np.uint8)
        else:
            codes = rng.standard_normal((E, N, K)).astype(ml_dtypes.float8_e4m3fn)
        return {"b": codes, "b_scale": scale.astype(np.uint8)}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        rows = -1, self._result_columns
        return results_agree(outputs.reshape(rows), fused_moe_gemm_reference(**arguments).reshape(rows))

    @property
    def _blocks(self) -> tuple[int, int]:
        return ceil_div(self.columns, BLOCK), ceil_div(self.hidden, BLOCK)

    @property
    def _result_columns(self) -> int:
        return self.columns // (2 if self.epilogue in HALVED else 1)

    @property
    def useful_flops(self) -> float:
        return 2.0 * self.tokens * self.topk * self.columns * self.hidden

    @property
    def operands(self) -> str:
        return "mx" if self.quantization in MX else "fp8" if self.quantization == FP8_W8A8 else "bf16"

    @property
    def peer_bytes(self) -> int:
        """Rows, weights of experts that may be used, and results."""
        pairs, item = self.tokens * self.topk, itemsize(self.a_dtype)
        weights = min(self.experts, pairs) * self.columns * self.hidden / WEIGHTS_A_BYTE.get(self.quantization, 1.0)
        return int(item * (self.tokens * self.hidden + pairs * self._result_columns) + weights)

    @property
    def useful_bytes(self) -> int:
        """Likewise, with scales, zeros, ids and weights of pairs."""
        pairs, N = self.tokens * self.topk, self.columns
        scales = {UNQUANT: 0.0, FP8_W8A16: FP32, FP8_W8A8: FP32 + FP32 / self.experts}.get(self.quantization, FP32 * N)
        if self.quantization in BLOCKS:
            scales = FP32 * math.prod(self._blocks)
        if self.quantization in MX:
            scales = N * (self.hidden // MX_BLOCK)
        if self.quantization == INT4_W4A16:
            scales = (FP32 + (0.5 if self.has_zeros else 0)) * N * (self.hidden // self.group_size)
        return int(self.peer_bytes + min(self.experts, pairs) * scales) + (INT32 + FP32 * self.routed_weight) * pairs

    def heading(self) -> str:
        return (
            f"[{self.a_dtype}|{self.quantization}|{self.epilogue}] M:{self.tokens}, N:{self.columns}, K:{self.hidden}, "
            f"E:{self.experts}, top_k:{self.topk}"
        )

    timing = OpRequest.timing_of_matrices

    def peer_json(self) -> dict[str, Any]:
        return {
            "prec": self.a_dtype, "quantization": self.quantization, "epilogue": self.epilogue, "M": self.tokens,
            "N": self.columns, "K": self.hidden, "E": self.experts, "top_k": self.topk,
        }  # fmt: skip
