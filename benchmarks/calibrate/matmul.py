"""Products of matrices on one core of Trn2: the four steps of the SDK's tutorial."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.cases import Case, Figure, Work, exactly
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


def works() -> list[Work]:
    """A case for each step: latency, and how busy PE and DMA are."""
    return [
        Work(
            Case(KERNEL, "matmul tutorial", name, _TUTORIAL, figures),
            partial(_run_tutorial, kernel), Path(tutorial.__file__), 2e-9 * _M * _K * _N,
        )
        for name, kernel, figures in _STEPS
    ]  # fmt: skip


def _run_tutorial(kernel: Any, observer: Observer) -> str:
    launch(observer, kernel, np.zeros((_K, _M), np.float32), np.zeros((_K, _N), np.float32))
    return NONE
