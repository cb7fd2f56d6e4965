"""The matmul tutorial of the SDK: one core of Trn2, fp32, M 4096, K 8192, N 8192."""

from __future__ import annotations

from functools import partial

import numpy as np

from calibrate import ladder
from calibrate.cases import Case, Predictions, Published
from calibrate.measure import dma_active_percent, dma_busy_ns, pe_active_percent, timeline_of

SOURCE = "nki/guides/tutorials/kernel-optimization, profile pictures"
M, K, N = 4096, 8192, 8192
_RATE, _AHEAD, _PE = (
    ("dma.rate", "dma.descriptor"),
    ("dma.moved_ahead", "descriptors in hardware"),
    ("pe_time.overhead",),
)
_STAGGERED = "on hardware the sixteen engines start one after the other, here together: theirs is the longer union"
_TRAFFIC = "implies twice the bytes that this tiling moves"
_SPILL = "the tiles of this kernel exceed SBUF by a tenth: the compiler's spills are in the number, not in the kernel"

_STEPS = (
    (
        "1 load for each matmul", ladder.load_for_each_matmul,
        (Published("latency", 39.89, "ms", _AHEAD), Published("PE active", 87.28, "%"),
         Published("DMA busy, sum of engines", 519.58, "ms", _RATE),
         Published("DMA active", 99.93, "%", doubt=_STAGGERED)),
    ),
    (
        "2 load columns", ladder.load_columns,
        (Published("latency", 28.20, "ms", _AHEAD), Published("PE active", 99.85, "%"),
         Published("DMA busy, sum of engines", 402.07, "ms", _RATE),
         Published("DMA active", 99.73, "%", doubt=_STAGGERED)),
    ),
    (
        "3 blocks of columns", ladder.load_blocks_of_columns,
        (Published("latency", 28.41, "ms"), Published("PE active", 99.52, "%"),
         Published("DMA busy, sum of engines", 390.69, "ms", doubt=_TRAFFIC),
         Published("DMA active", 95.70, "%", doubt=_TRAFFIC)),
    ),
    (
        "4 blocks of all dimensions", ladder.load_blocks_of_all_dimensions,
        (Published("latency", 28.30, "ms", _PE), Published("PE active", 99.50, "%"),
         Published("DMA busy, sum of engines", 81.73, "ms", doubt=_SPILL),
         Published("DMA active", 21.54, "%", doubt=_SPILL)),
    ),
)  # fmt: skip


def cases() -> list[Case]:
    """A case for each step: latency, and how busy PE and DMA are."""
    return [
        Case("matmul tutorial", name, SOURCE, published, partial(_predict, kernel), 2e-9 * M * K * N)
        for name, kernel, published in _STEPS
    ]


def _predict(kernel: object) -> Predictions:
    left_t, right = np.zeros((K, M), np.float32), np.zeros((K, N), np.float32)
    timeline = timeline_of(kernel, left_t, right)
    return {
        "latency": timeline.latency_ns / 1e6,
        "PE active": pe_active_percent(timeline),
        "DMA busy, sum of engines": dma_busy_ns(timeline) / 1e6,
        "DMA active": dma_active_percent(timeline),
    }
