"""`e2e_moe` and `fused_moe` beside aiter's torch_e2e_moe and torch_moe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conformance.cases.beside import Case, Floats, fp64, judge, simulated
from conformance.kernel_run import TestManager
from conformance.reference_functions import ReferenceFile
from conformance.session import SETUP
from nkimoe.ops import e2e_moe, fused_moe
from nkimoe.ops.launch import OnCores

CHECKOUT = Path(SETUP["checkout"])
INT8 = "int8_w8a16"
(silu_and_mul,) = ReferenceFile(CHECKOUT, "aiter/ops/triton/utils/moe_common.py").functions("torch_silu_and_mul_ref")
TESTS = ReferenceFile(
    CHECKOUT, "op_tests/triton_tests/moe/test_moe.py", torch_silu_and_mul_ref=silu_and_mul,
    print=lambda *_: None, arch_info=None,
)  # fmt: skip
(torch_e2e_moe,) = TESTS.functions("torch_e2e_moe")
(torch_moe,) = ReferenceFile(
    CHECKOUT, "aiter/fused_moe.py", aiter=SimpleNamespace(get_torch_act=lambda name: getattr(F, name)),
    ActivationType=SimpleNamespace(Silu="silu"), dtypes=SimpleNamespace(fp32=torch.float32, i32=torch.int32),
).functions("torch_moe")  # fmt: skip


@dataclass
class Moe(Case):
    """Sizes, type and weights; N is twice that of the second projection."""

    M: int
    N: int
    K: int
    top_k: int
    E: int
    dtype: torch.dtype
    routed_weight: bool = True
    quantization: str | None = None
    with_mask: bool = False
    left_out: bool = False


def _e2e() -> Iterator[Moe]:
    """The cases of aiter's test, and of its other tests' shapes those that it leaves out for its atomics."""
    names = ("M", "N", "K", "top_k", "E")
    enabled = {tuple(case[name] for name in names) for case in TESTS.cases("test_moe_e2e")}
    shapes = dict.fromkeys(
        tuple(c[n] for n in names) for test in ("test_moe_e2e", "test_fused_moe") for c in TESTS.cases(test)
    )
    for sizes in shapes:
        for dtype in (torch.bfloat16, torch.float16):
            for routed_weight in (False, True):
                is_one_of_theirs = sizes in enabled and dtype == torch.bfloat16
                yield Moe(*sizes, dtype, routed_weight, left_out=not is_one_of_theirs)


@pytest.mark.parametrize("operation", [e2e_moe, fused_moe], ids=["e2e_moe", "fused_moe"])
@pytest.mark.parametrize("moe", _e2e(), ids=str)
def test_moe_e2e(moe: Moe, operation: OnCores, test_manager: TestManager) -> None:
    x, w1, w2, weights, ids = _drawn(moe, uniform=True)
    empty = torch.empty(moe.M, moe.top_k, moe.K, dtype=moe.dtype)
    theirs = torch_e2e_moe(
        x, w1, w2, empty, None, None, None, ids, weights.to(moe.dtype), moe.routed_weight, moe.dtype, False, False
    )
    factors = weights if moe.routed_weight else torch.ones_like(weights)
    routing = {"topk_ids": ids, "topk_weights": factors}
    ours = simulated(operation)(x, w1, w2, **routing)
    pairs = _pairs(moe, fp64(x), fp64(w1), fp64(w2), ids.numpy()) * fp64(factors)[..., None]
    judge(test_manager, ours, theirs.double().sum(dim=1).to(moe.dtype), pairs.sum(axis=1), 1e-1)


OWN = [
    Moe(M, N, K, k, E, dtype, quantization=quantization, with_mask=with_mask)
    for M, N, K, k, E in ((32, 512, 256, 2, 8), (5, 96, 72, 3, 5), (128, 1024, 512, 4, 16))
    for dtype in (torch.bfloat16, torch.float16)
    for quantization in (None, INT8)
    for with_mask in (False, True)
]


@pytest.mark.parametrize("moe", OWN, ids=str)
def test_torch_moe(moe: Moe, test_manager: TestManager) -> None:
    x, w1, w2, weights, ids = _drawn(moe, uniform=False)
    mask = torch.arange(moe.E) % 2 if moe.with_mask else None
    if mask is not None:
        w1, w2 = w1[mask > 0], w2[mask > 0]
    scales: tuple[Any, Any] = (None, None)
    if moe.quantization == INT8:
        scales = torch.rand(w1.shape[:2]) / 1000, torch.rand(w2.shape[:2]) / 1000
        w1, w2 = (torch.randint(-127, 128, w.shape, dtype=torch.int8) for w in (w1, w2))
    theirs = torch_moe(x, w1, w2, weights, ids, *scales, expert_mask=None if mask is None else mask.int())
    options = {} if moe.quantization is None else {"quantization": INT8, "w1_scale": scales[0], "w2_scale": scales[1]}
    ours = simulated(fused_moe)(x, w1, w2, weights, ids, expert_mask=mask, **options)
    plain = [fp64(w) * (1.0 if s is None else fp64(s)[..., None]) for w, s in zip((w1, w2), scales, strict=True)]
    local = ids.numpy() if mask is None else np.where(mask.numpy() > 0, np.cumsum(mask.numpy()) - 1, -1)[ids.numpy()]
    right = (_pairs(moe, fp64(x), *plain, local) * fp64(weights)[..., None]).sum(axis=1)
    judge(test_manager, ours, theirs, right, 1e-2)


def _drawn(moe: Moe, uniform: bool) -> tuple[torch.Tensor, ...]:
    """Tokens, weights of both projections, and float32 weights and ids of the choices."""
    torch.manual_seed(20)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.rand(shape, dtype=moe.dtype) if uniform else (torch.randn(shape) / shape[-1] ** 0.5).to(moe.dtype)

    x = torch.randn(moe.M, moe.K, dtype=moe.dtype)
    w1, w2 = matrix(moe.E, moe.N, moe.K), matrix(moe.E, moe.K, moe.N // 2)
    probabilities = torch.randn(moe.M, moe.E, dtype=moe.dtype).softmax(dim=1)
    weights, ids = torch.topk(probabilities, k=moe.top_k, dim=1)
    return x, w1, w2, weights.float(), ids


def _pairs(moe: Moe, x: Floats, w1: Floats, w2: Floats, ids: Any) -> Floats:
    """[M, k, K] without weights; 0 where an id is negative."""
    out = np.zeros((*ids.shape, moe.K))
    for e in range(len(w1)):
        tokens, choices = np.nonzero(ids == e)
        g, u = np.split(x[tokens] @ w1[e].T, 2, axis=1)
        with np.errstate(over="ignore"):
            out[tokens, choices] = (g / (1 + np.exp(-g)) * u) @ w2[e].T
    return out
