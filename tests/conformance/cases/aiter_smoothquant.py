"""`fused_moe_gemm` with int8 tokens and weights beside aiter's moe_gemm_smoothquant_torch.

The peer's operation takes codes and scales of its rows, ours takes rows. So each row is its codes times a power of two,
which 16 bits hold exactly, and holds the code 127, so that our quantiser finds the codes and the scale again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from conformance.cases.beside import Case, Floats, fp64, judge, simulated
from conformance.kernel_run import TestManager
from conformance.reference_functions import ReferenceFile
from conformance.session import SETUP
from nkimoe.ops import fused_moe_gemm

CHECKOUT = Path(SETUP["checkout"])
(reference,) = ReferenceFile(CHECKOUT, "aiter/ops/triton/moe/moe_op_gemm_int8_smoothquant.py").functions(
    "moe_gemm_smoothquant_torch"
)
TESTS = ReferenceFile(CHECKOUT, "op_tests/triton_tests/moe/test_moe_gemm_int8_smoothquant.py")
LIMIT = 1.0  # the reference's own


@dataclass
class Gemm(Case):
    """As aiter names it: m tokens, n columns, k of the contraction."""

    m: int
    n: int
    k: int
    n_expts_tot: int
    n_expts_act: int
    has_y_gammas: bool
    apply_activation: bool


def _gemms() -> Iterator[Gemm]:
    """The cases in which rows are gathered and not added up: what `fused_moe_gemm` does."""
    names = list(Gemm.__dataclass_fields__)
    gathered = (c for c in TESTS.cases("test_op") if c["do_gather"] and not c["do_scatter"] and not c["preshuffled"])
    yield from (Gemm(*(case[name] for name in names)) for case in gathered)


@pytest.mark.parametrize("gemm", _gemms(), ids=str)
def test_int8_smoothquant(gemm: Gemm, test_manager: TestManager) -> None:
    torch.manual_seed(0)
    E, k = gemm.n_expts_tot, gemm.n_expts_act
    codes = torch.randint(-127, 128, (gemm.m, gemm.k), dtype=torch.int8)
    codes[:, 0] = 127
    scale = 2.0 ** torch.randint(-8, -4, (gemm.m,))
    w = torch.randint(-127, 128, (E, gemm.k, gemm.n), dtype=torch.int8)
    w_scale, bias = torch.rand(E, gemm.n) / (74 * gemm.k**0.5), torch.randn(E, gemm.n)
    ids = torch.topk(torch.randn(gemm.m, E), k, dim=1).indices
    gammas = 2.0 ** torch.randint(-5, 0, (gemm.m, k)) if gemm.has_y_gammas else None
    order = torch.argsort(ids.flatten(), stable=True)
    theirs = reference(
        codes, scale, w, w_scale, bias,
        SimpleNamespace(n_expts_act=k, n_expts_tot=E, expt_hist=torch.bincount(ids.flatten(), minlength=E)),
        order, None, None if gammas is None else gammas.flatten()[order],
        apply_activation=gemm.apply_activation, add_residual=gemm.apply_activation,
    )  # fmt: skip
    options: dict[str, Any] = {}
    if gemm.apply_activation:
        options = {"epilogue": "swiglu", "limit": LIMIT, "add_residual": True}
    ours = simulated(fused_moe_gemm)(
        (codes * scale[:, None]).bfloat16(), w.transpose(1, 2).contiguous(), ids, gammas, quantization="int8_w8a8",
        b_scale=w_scale, bias=bias, **options,
    )  # fmt: skip
    sorted_ours = ours.reshape(gemm.m * k, -1)[order]
    judge(test_manager, sorted_ours, theirs, _right(gemm, codes, scale, w, w_scale, bias, ids, gammas)[order], 4e-2)


def _right(gemm: Gemm, codes: Any, scale: Any, w: Any, w_scale: Any, bias: Any, ids: Any, gammas: Any) -> Floats:
    """[m * k, columns]."""
    x, v = fp64(codes) * fp64(scale)[:, None], np.empty((*ids.shape, gemm.n))
    for e in range(gemm.n_expts_tot):
        tokens, choices = np.nonzero(ids.numpy() == e)
        v[tokens, choices] = x[tokens] @ (fp64(w[e]) * fp64(w_scale[e])) + fp64(bias[e])
    if gemm.apply_activation:
        g, u = np.minimum(v[..., ::2], LIMIT), np.clip(v[..., 1::2], -LIMIT, LIMIT)
        v = g / (1 + np.exp(-g)) * (u + 1)
    if gammas is not None:
        v = v * fp64(gammas)[..., None]
    return v.reshape(gemm.m * gemm.n_expts_act, -1)
