"""Products of matrices on one core of Trn2: the SDK's tutorial in four steps, and variants of a profile guide."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from calibrate.cases import Case, Figure, Work, exactly
from calibrate.kernels import matmul_blocked as blocks
from calibrate.kernels import matmul_tutorial as tutorial
from calibrate.launches import NONE
from calibrate.readings import LATENCY
from calibrate.tape import launch
from nkisim.observe import Observer

KERNEL = "matmul"
_TUTORIAL = "nki/guides/tutorials/kernel-optimization, profile pictures"
_M, _K, _N = 4096, 8192, 8192
_STAGGERED = "on the device the sixteen engines start one after the other, here together: theirs is the longer union"
_TRAFFIC = "implies twice the bytes that this tiling moves"
_SPILL = "the tiles of this kernel exceed SBUF by a tenth: the compiler's spills are in the number, not in the kernel"


def _figures(latency: float, pe: float, busy: tuple[float, str], active: tuple[float, str]) -> tuple[Figure, ...]:
    """Milliseconds, share of PE and of any DMA engine in use, sum over DMA engines; the last two with doubts."""
    return (
        exactly(LATENCY, latency, "ms"),
        exactly("pe_active", pe, "%"),
        exactly("dma_busy", busy[0], "ms", busy[1]),
        exactly("dma_active", active[0], "%", active[1]),
    )


_STEPS = (
    ("1 load for each matmul", tutorial.load_for_each_matmul,
     _figures(39.89, 87.28, (519.58, ""), (99.93, _STAGGERED))),
    ("2 load columns", tutorial.load_columns,
     _figures(28.20, 99.85, (402.07, ""), (99.73, _STAGGERED))),
    ("3 blocks of columns", tutorial.load_blocks_of_columns,
     _figures(28.41, 99.52, (390.69, _TRAFFIC), (95.70, _TRAFFIC))),
    ("4 blocks of all dimensions", tutorial.load_blocks_of_all_dimensions,
     _figures(28.30, 99.50, (81.73, _SPILL), (21.54, _SPILL))),
)  # fmt: skip


_GUIDE = "aws-neuron/neuron-agentic-development, example of a bounds analysis"
_VARIANTS = (  # size, kernel, parameters, figures, remark
    ("4096, reloaded", 4096, blocks.reloaded, {"kept": 3},
     (exactly(LATENCY, 8602, "us"), exactly("pe_active", 55.9, "%"), exactly("dma_active", 91.9, "%")),
     "stationary operands are loaded three times, as the compiler left it: 1.208 GB in all"),
    ("4096, blocked", 4096, blocks.blocked, {"rows": 1024, "columns": 1024},
     (exactly(LATENCY, 1801, "us"), exactly("pe_active", 98.9, "%"), exactly("dma_active", 45.5, "%")),
     "blocks of 1024 by 1024: 201 MB in all"),
    ("2048, operands transposed before", 2048, blocks.reloaded, {"kept": 1},
     (exactly(LATENCY, 608, "us", "its tiling is not described: taken as reloaded"),), ""),
)  # fmt: skip


def works() -> list[Work]:
    """Latency of each, and how busy PE and DMA are."""
    tutorials = [
        Work(
            Case(KERNEL, "matmul tutorial", name, _TUTORIAL, figures),
            partial(_run, kernel, (_M, _K, _N), np.float32, {}), Path(tutorial.__file__),
        )
        for name, kernel, figures in _STEPS
    ]  # fmt: skip
    variants = [
        Work(
            Case(KERNEL, "matmul bf16", name, _GUIDE, figures, remark),
            partial(_run, kernel, (size,) * 3, bfloat16, options), Path(blocks.__file__),
        )
        for name, size, kernel, options, figures, remark in _VARIANTS
    ]  # fmt: skip
    return tutorials + variants


def _run(kernel: Any, sizes: tuple[int, int, int], dtype: Any, options: dict[str, int], observer: Observer) -> str:
    M, K, N = sizes
    launch(observer, kernel, np.zeros((K, M), dtype), np.zeros((K, N), dtype), **options)
    return NONE
