"""Attention and GEMM with GELU on one core, as `allenkchau/trainium-kernel-fusion` measured them: kernels of our own.

Their tilings are those of its public kernels; the language of those is an older one that nkisim refuses. Its GEMM and
GELU as two kernels are left out: that figure is the sum of two benchmarks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from calibrate.cases import Case, Work, exactly
from calibrate.kernels import attention, gemm_gelu
from calibrate.launches import BENCHMARK
from calibrate.readings import LATENCY
from calibrate.tape import launch
from nkisim.observe import Observer

_SOURCE = "allenkchau/trainium-kernel-fusion, NKI benchmark, p50"
_DTYPES = {"fp32": np.float32, "bf16": bfloat16}
_ATTENTION = (  # kernel, dtype, length, microseconds
    ("by way of HBM", "fp32", 1024, 107),
    ("by way of HBM", "fp32", 4096, 1137),
    ("fused", "fp32", 512, 31),
    ("fused", "fp32", 2048, 215),
    ("by way of HBM", "bf16", 512, 48),
    ("by way of HBM", "bf16", 2048, 260),
    ("fused", "bf16", 1024, 60),
    ("fused", "bf16", 4096, 684),
)
_GEMM_GELU = (  # M, K, N, dtype, microseconds with GELU by its table, by a cubic
    (128, 128, 512, "fp32", 21, 26),
    (128, 128, 512, "bf16", 19, 23),
    (512, 1024, 2048, "fp32", 150, 159),
    (512, 1024, 2048, "bf16", 56, 96),
    (2048, 4096, 4096, "fp32", 4187, 4620),
    (2048, 4096, 4096, "bf16", 1554, None),
)
_RELOADS = "more bytes than the time allows: the compiler loads less often than the tiling says"
_BIAS = "the bias reaches all partitions by a load here; how the compiler spread it is not known"


def works() -> list[Work]:
    """All of both tables."""
    found = [_attention(*row) for row in _ATTENTION]
    for M, K, N, dtype, *latencies in _GEMM_GELU:
        for how, latency in zip(("table", "cubic"), latencies, strict=True):
            if latency is not None:
                found.append(_gemm_gelu((M, K, N), dtype, how, latency))
    return found


def _attention(how: str, dtype: str, length: int, latency: float) -> Work:
    kernel = attention.fused if how == "fused" else attention.by_way_of_hbm
    figures = (exactly(LATENCY, latency, "us"),)
    case = Case("attention", "attention, one head", f"{how} {dtype} {length}", _SOURCE, figures)
    operand = np.zeros((128, length), _DTYPES[dtype])
    return Work(case, partial(_run_attention, kernel, operand), Path(attention.__file__))


def _run_attention(kernel: Any, operand: Any, observer: Observer) -> str:
    launch(observer, kernel, operand, operand.copy(), operand.copy())
    return BENCHMARK


def _gemm_gelu(sizes: tuple[int, int, int], dtype: str, how: str, latency: float) -> Work:
    M, K, N = sizes
    name = f"{M} x {K} x {N} {dtype}, GELU by {how}"
    doubt = _RELOADS if dtype == "bf16" and K > 128 else ""
    case = Case("gemm_gelu", "GEMM and GELU", name, _SOURCE, (exactly(LATENCY, latency, "us", doubt),), _BIAS)
    return Work(case, partial(_run_gemm_gelu, how, sizes, _DTYPES[dtype]), Path(gemm_gelu.__file__))


def _run_gemm_gelu(how: str, sizes: tuple[int, int, int], dtype: Any, observer: Observer) -> str:
    M, K, N = sizes
    operands = np.zeros((K, M), dtype), np.zeros((K, N), dtype), np.zeros((1, N), dtype)
    launch(observer, gemm_gelu.fused, *operands, cubic=how == "cubic")
    return BENCHMARK
