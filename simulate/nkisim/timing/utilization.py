# SPDX-License-Identifier: Apache-2.0
"""How much of the time each engine works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nkisim.dtypes import Array
from nkisim.timing.costs import Transfer
from nkisim.timing.timeline import Timeline


@dataclass(frozen=True)
class EngineUse:
    """One engine of one core; "dma" is its DMA engines together, busy while at least one transfer is under way.

    Attributes:
        busy_ns: time it works, counted once where instructions overlap.
        instructions: how many it ran.
    """

    busy_ns: float
    instructions: int


@dataclass(frozen=True)
class DmaUse:
    """The DMA engines of one core.

    Attributes:
        transfers, descriptors: how many.
        nbytes: bytes moved; hbm_bytes: bytes read from and written to HBM.
        engine_ns: time of work, the mean over the engines.
    """

    transfers: int
    descriptors: int
    nbytes: int
    hbm_bytes: int
    engine_ns: float


def engine_use(timeline: Timeline) -> dict[tuple[int, str], EngineUse]:
    """What each (core, engine) did. Issuing a transfer with software-made descriptors is work of the GpSimd Engine."""
    intervals: dict[tuple[int, str], list[tuple[float, float]]] = {}
    issues: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for task in timeline.tasks:
        n, cost = task.number, timeline.costs[task.work]
        is_transfer = isinstance(cost, Transfer)
        # A matmul is issued while the one before still streams; elsewhere a table is loaded from issue to begin.
        start = timeline.begin[n] if is_transfer or task.engine == "tensor" else timeline.issue[n]
        end = start if task.meeting >= 0 else timeline.end[n]  # the engine only waits for the other core
        intervals.setdefault((task.core, task.engine), []).append((start, end))
        if isinstance(cost, Transfer) and task.queue == "gpsimd":
            issued = timeline.issue[n] + cost.issue.ns
            issues.setdefault((task.core, "gpsimd"), []).append((timeline.issue[n], issued))
    return {
        key: EngineUse(union_ns([*intervals.get(key, ()), *issues.get(key, ())]), len(intervals.get(key, ())))
        for key in sorted({*intervals, *issues})
    }


def dma_use(timeline: Timeline) -> dict[int, DmaUse]:
    """What the DMA engines of each core did."""
    totals = {core: [0, 0, 0, 0, 0.0] for core in range(timeline.cores)}
    for task, transfer in timeline.transfers():
        work = sum(transfer.engines) / max(1, len(transfer.engines))
        each = (1, transfer.descriptors, transfer.nbytes, transfer.hbm_bytes, work)
        totals[task.core] = [a + b for a, b in zip(totals[task.core], each, strict=True)]
    return {core: DmaUse(int(n), int(d), int(b), int(h), work) for core, (n, d, b, h, work) in totals.items()}


def union_ns(intervals: list[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    if not intervals:
        return 0.0
    starts, ends = _sorted(intervals)
    reached = np.maximum.accumulate(ends)
    covered_to = np.concatenate(([-np.inf], reached[:-1]))
    return float(np.clip(ends - np.maximum(starts, covered_to), 0.0, None).sum())


def _sorted(intervals: list[tuple[float, float]]) -> tuple[Array, Array]:
    both = np.array(intervals)
    both = both[np.argsort(both[:, 0], kind="stable")]
    return both[:, 0], both[:, 1]
