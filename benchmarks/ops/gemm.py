"""`moe`: one projection of all pairs, of the first and of the second stage of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from nkimoe.cli.op.grouped_gemm import FusedMoeGemm
from nkimoe.errors import require
from nkimoe.ops.expert_arguments import UNQUANT
from nkimoe.ops.gemm_quantisation import FP8_W8A8, INT4_W4A16
from nkimoe.ops.grouped_gemm import grouped_gemm
from nkimoe.planning.grouped_gemm.choice import default_choices
from nkimoe.planning.grouped_gemm.request import SILU, Weighting
from nkimoe.tuning.operand_types import INT4, operand_types
from nkimoe.tuning.shaped_gemm import Routed, ShapedGemm
from nkisim import Predictor
from nkisim.machine import UsefulWork
from ops.layers import BenchLayer
from ops.outcome import INPUTS, BenchRow, Device, Outcome

DTYPES = {"fp16": "float16", "bf16": "bfloat16"}
FP8_TYPES = {"e4m3": "float8_e4m3", "e4m3fn": "float8_e4m3fn", "e5m2": "float8_e5m2"}
BYTES = {"int8_w8a16": (2, 1), "int8_w8a8": (2, 1), "fp8_w8a8": (1, 1)}
"""aiter's bytes of an element of a and b; of others two each, int4 not counted apart."""


@dataclass(frozen=True)
class GemmBench:
    """How the projections of a layer are run.

    Attributes:
        quantization: of `fused_moe_gemm`.
        dtype, fp8_type: keys of DTYPES and FP8_TYPES.
        silu: of the first stage, behind its products.
        stage2: the second stage, too.
    """

    device: Device
    quantization: str = UNQUANT
    dtype: str = "fp16"
    fp8_type: str = "e4m3"
    group_size: int | None = None
    has_zeros: bool = False
    routed_weight: bool = False
    silu: bool = False
    stage2: bool = True

    def rows(self, layer: BenchLayer, M: int) -> Iterator[BenchRow]:
        """One a stage."""
        sizes = [(layer.N, layer.K, self.silu)]
        if self.stage2:
            sizes.append((layer.K, layer.N // 2, False))
        for N, K, silu in sizes:
            values = (layer.model, M, N, K, layer.E, layer.top_k)
            request = self.request(M, N, K, layer, silu)
            yield BenchRow(dict(zip(INPUTS, values, strict=True)), partial(self.outcome, request))

    def request(self, M: int, N: int, K: int, layer: BenchLayer, silu: bool) -> FusedMoeGemm:
        """Raises RequestError for groups that come with other weights than int4, or do not."""
        is_int4 = self.quantization == INT4_W4A16
        given, fix = self.group_size is not None, "Add or drop it."
        require(given == is_int4, "-group_size", "comes with -int4_w4a16", self.group_size, fix)
        require(is_int4 or not self.has_zeros, "-has_zp", "comes with -int4_w4a16", self.quantization, fix)
        return FusedMoeGemm(
            M, N, K, layer.E, layer.top_k, SILU if silu else "none", self.quantization, self.group_size or 1,
            self.has_zeros, self.routed_weight, self.dtype,
        )  # fmt: skip

    def outcome(self, request: FusedMoeGemm) -> Outcome:
        """What is predicted for it."""
        gemm = self.shaped(request)
        routed = Routed.evenly(request.tokens, request.topk, request.experts)
        (choice,) = default_choices(routed.ids.size, request.experts, [gemm.sizes])
        arguments = gemm.arguments(choice, routed.blocks(choice.block_size), of_pairs=False)
        simulator = Predictor(self.device.target, self.device.lnc)
        profile = simulator.run(grouped_gemm, *arguments).profile
        useful = UsefulWork(request.useful_flops, replace(request, experts=routed.used).useful_bytes)
        operands = "fp8" if self.quantization == FP8_W8A8 else "bf16"
        return Outcome(profile, self.device, peer_work(request), useful, operands)

    def shaped(self, request: FusedMoeGemm) -> ShapedGemm:
        """Its tensors, without values."""
        dtype, fp8, silu = DTYPES[request.a_dtype], FP8_TYPES[self.fp8_type], request.epilogue == SILU
        stored = {UNQUANT: dtype, INT4_W4A16: INT4, FP8_W8A8: fp8}.get(self.quantization, "int8")
        codes = {FP8_W8A8: "float8_e4m3fn" if fp8 == "float8_e4m3fn" else "float8_e4m3", "int8_w8a8": "int8"}
        types = operand_types(self.quantization, dtype, stored, codes.get(self.quantization), self.group_size)
        return ShapedGemm(
            request.tokens, request.hidden, request.columns // (1 + silu), request.experts, dtype, types,
            SILU if silu else None, Weighting.AFTER if self.routed_weight else Weighting.NONE, request.topk,
            has_zeros=self.has_zeros,
        )  # fmt: skip


def peer_work(request: FusedMoeGemm) -> UsefulWork:
    """aiter's formulas: an operation more an element for the weight, and for SiLU; no scales, no ids."""
    M, N, K, pairs = request.tokens, request.columns, request.hidden, request.tokens * request.topk
    silu = request.epilogue == SILU
    of_a, of_b = BYTES.get(request.quantization, (2, 2))
    written = pairs * N * 2 // (1 + silu)
    flops = 2.0 * pairs * N * K + pairs * N * (request.routed_weight + silu)
    return UsefulWork(flops, M * K * of_a + min(request.experts, pairs) * N * K * of_b + written)
