"""The matmul tutorial of the SDK: one core of Trn2, fp32, M 4096, K 8192, N 8192."""

from __future__ import annotations

import numpy as np

from calibrate import ladder
from calibrate.cases import Case, Predictions, Published
from calibrate.measure import active_percent, timeline_of

SOURCE = "nki/guides/tutorials/kernel-optimization, profile pictures"
M, K, N = 4096, 8192, 8192
_PE_FIT = ("pe_time.overhead",)
_DMA_FIT = ("dma.descriptor", "dma.issue_static", "hbm.stack_rate")

_STEPS = (
    ("1 load for each matmul", ladder.load_for_each_matmul, 39.89, 87.28, 99.93, _DMA_FIT),
    ("2 load columns", ladder.load_columns, 28.20, 99.85, 99.73, _DMA_FIT),
    ("3 blocks of columns", ladder.load_blocks_of_columns, 28.41, 99.52, 95.70, ()),
    ("4 blocks of all dimensions", ladder.load_blocks_of_all_dimensions, 28.30, 99.50, 21.54, _PE_FIT),
)


def cases() -> list[Case]:
    """A case for each step: latency, and the share of it in which PE and DMA are active."""
    return [
        Case(
            "matmul tutorial",
            name,
            SOURCE,
            (
                Published("latency", latency, "ms", fitted),
                Published("PE active", pe, "%"),
                Published("DMA active", dma, "%"),
            ),
            lambda kernel=kernel: _predict(kernel),
            2e-9 * M * K * N,
        )
        for name, kernel, latency, pe, dma, fitted in _STEPS
    ]


def _predict(kernel: object) -> Predictions:
    left_t, right = np.zeros((K, M), np.float32), np.zeros((K, N), np.float32)
    timeline = timeline_of(kernel, left_t, right)
    return {
        "latency": timeline.latency_ns / 1e6,
        "PE active": active_percent(timeline, "tensor"),
        "DMA active": active_percent(timeline, "dma"),
    }
