"""`fused_moe_gemm` beside aiter's torch_moe_ref, on the cases of its tests and on the quantised ones they leave out.

The reference, like the kernels it is for, multiplies by the weight before SiLU, and leaves GELU out where there are
weights: ours runs with `legacy_order`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from conformance.cases.beside import TRN2, TRN3, Case, Floats, fp64, judge, simulated
from conformance.kernel_run import TestManager
from conformance.reference_functions import ReferenceFile
from conformance.session import SETUP
from nkimoe.ops import fused_moe_gemm

CHECKOUT = Path(SETUP["checkout"])
UNQUANT, INT8, INT4, FP8 = "unquant", "int8_w8a16", "int4_w4a16", "fp8_w8a8"
(silu_and_mul,) = ReferenceFile(CHECKOUT, "aiter/ops/triton/utils/moe_common.py").functions("torch_silu_and_mul_ref")
TESTS = ReferenceFile(
    CHECKOUT, "op_tests/triton_tests/moe/test_moe.py", torch_silu_and_mul_ref=silu_and_mul,
    arch_info=SimpleNamespace(get_arch=lambda: "gfx950"),
)  # fmt: skip
torch_moe_ref, quantize_fp8, quantize_int8 = TESTS.functions("torch_moe_ref", "quantize_fp8", "quantize_int8")


@dataclass
class Gemm(Case):
    """What aiter's tests vary, and whether they leave this one out."""

    M: int
    N: int
    K: int
    top_k: int
    E: int
    dtype: torch.dtype
    routed_weight: bool
    epilogue: str | None
    quantization: str = UNQUANT
    group_size: int | None = None
    has_zp: bool = False
    left_out: bool = False


def _gemms(test: str, epilogue: str | None) -> Iterator[Gemm]:
    """The cases of a test, each once, and in the quantisations that stand in its comments."""
    made = dict[str, Gemm]()
    for given in TESTS.cases(test):
        sizes = [given[name] for name in ("M", "N", "K", "top_k", "E", "dtype", "routed_weight")]
        gemm = Gemm(*sizes, "silu" if given.get("silu_fused") else epilogue)
        if "group_size" in given:
            gemm = replace(gemm, quantization=INT4, group_size=given["group_size"], has_zp=given["has_zp"])
            made[str(gemm)] = gemm
            continue
        for quantization in (UNQUANT, INT8, FP8):
            also = replace(gemm, quantization=quantization, left_out=quantization != UNQUANT)
            made[str(also)] = also
    yield from made.values()


CASES = [*_gemms("test_fused_moe", None), *_gemms("test_fused_moe_int4_w4a16", None)]


@pytest.mark.parametrize("gemm", CASES, ids=str)
def test_fused_moe(gemm: Gemm, test_manager: TestManager) -> None:
    _check(gemm, test_manager)


@pytest.mark.parametrize("gemm", _gemms("test_fused_moe_gelu", "gelu"), ids=str)
def test_fused_moe_gelu(gemm: Gemm, test_manager: TestManager) -> None:
    _check(gemm, test_manager)


def _check(gemm: Gemm, manager: TestManager) -> None:
    torch.manual_seed(20)
    a, b = torch.randn(gemm.M, gemm.K, dtype=gemm.dtype), torch.rand(gemm.E, gemm.N, gemm.K, dtype=gemm.dtype)
    probabilities = torch.randn(gemm.M, gemm.E, dtype=gemm.dtype).softmax(dim=1)
    weights, ids = torch.topk(probabilities, k=gemm.top_k, dim=1)
    b, scale, zero_point = _quantised(gemm, b)
    empty = torch.empty(gemm.M, gemm.top_k, gemm.N, dtype=gemm.dtype)
    theirs = torch_moe_ref(
        a, b, empty, None, scale, zero_point, gemm.group_size or 0, ids, weights, gemm.routed_weight, None, None, None,
        gemm.dtype, *(gemm.quantization == kind for kind in (FP8, INT8, INT4)), gelu=gemm.epilogue == "gelu",
    )  # fmt: skip
    if gemm.epilogue == "silu":
        theirs = silu_and_mul(theirs.view(-1, gemm.N))
    options: dict[str, Any] = {}
    if gemm.quantization != UNQUANT:
        of_columns = scale if gemm.quantization == INT4 else scale.float()[:, None].repeat(1, gemm.N)
        options = {"quantization": gemm.quantization, "b_scale": of_columns}
    if gemm.quantization == INT4:
        options |= {"group_size": gemm.group_size, "zero_point": zero_point}
    if gemm.quantization == FP8:
        options["a_scale"] = quantize_fp8(a)[2].float().reshape(1)
    ours = simulated(fused_moe_gemm, TRN3 if gemm.quantization == FP8 else TRN2)(
        a, b, ids, weights.float() if gemm.routed_weight else None, epilogue=gemm.epilogue,
        legacy_order=gemm.epilogue is not None, **options,
    )  # fmt: skip
    factors = fp64(weights) if gemm.routed_weight else np.ones(ids.shape)
    right = _right(gemm, _rows(gemm, a), _dequantised(gemm, b, scale, zero_point), ids.numpy(), factors)
    judge(manager, ours, theirs, right, 2e-1 if gemm.quantization == INT4 else 1e-1)


def _quantised(gemm: Gemm, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Codes, scales and zero points: by aiter's helpers, but for int4, where any bytes will do."""
    if gemm.quantization in (INT8, FP8):
        codes, _, scale = (quantize_int8 if gemm.quantization == INT8 else quantize_fp8)(b, dim=(0,))
        return codes, scale, None
    if gemm.quantization == UNQUANT:
        return b, None, None
    groups = gemm.K // gemm.group_size
    scale = (torch.rand(gemm.E, gemm.N, groups) / 8).to(gemm.dtype)
    zeros = torch.randint(0, 256, (gemm.E, gemm.N // 2, groups), dtype=torch.uint8) if gemm.has_zp else None
    return torch.randint(0, 256, (gemm.E, gemm.N, gemm.K // 2), dtype=torch.uint8), scale, zeros


def _rows(gemm: Gemm, a: torch.Tensor) -> Floats:
    if gemm.quantization != FP8:
        return fp64(a)
    codes, _, scale = quantize_fp8(a)
    return fp64(codes) * fp64(scale)


def _dequantised(gemm: Gemm, b: torch.Tensor, scale: Any, zero_point: Any) -> Floats:
    if gemm.quantization != INT4:
        return fp64(b) * (1.0 if scale is None else fp64(scale)[:, None, None])
    codes, zeros = _halves(b, 2), 8.0 if zero_point is None else np.repeat(_halves(zero_point, 1), gemm.group_size, 2)
    return (codes - zeros) * np.repeat(fp64(scale), gemm.group_size, axis=2)


def _halves(packed: torch.Tensor, axis: int) -> Floats:
    """Codes of bytes, the low half first, along an axis."""
    both = np.stack([packed.numpy() & 15, packed.numpy() >> 4], axis=axis + 1)
    shape = list(packed.shape)
    shape[axis] *= 2
    return fp64(both.reshape(shape))


def _right(gemm: Gemm, a: Floats, b: Floats, ids: Any, weights: Floats) -> Floats:
    """[M, k, columns]."""
    v = np.empty((*ids.shape, gemm.N))
    for e in range(gemm.E):
        tokens, choices = np.nonzero(ids == e)
        v[tokens, choices] = a[tokens] @ b[e].T
    v *= weights[..., None]
    if gemm.epilogue == "gelu" and not gemm.routed_weight:
        return 0.5 * v * (1 + np.tanh(0.7978845608 * (v + 0.044715 * v**3)))
    if gemm.epilogue == "silu":
        g, u = np.split(v, 2, axis=2)
        return g / (1 + np.exp(-g)) * u
    return v
