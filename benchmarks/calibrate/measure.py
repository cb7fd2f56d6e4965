"""Quantities of a timeline, as a profiler on hardware defines them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nkisim import Simulator
from nkisim.machine import load_machine
from nkisim.timing import Timeline, Timer
from nkisim.timing.costs import Cost


def timeline_of(kernel: Any, *args: Any, target: str = "trn2", lnc: int = 1, **options: Any) -> Timeline:
    """When everything happens in one launch of `kernel`."""
    timer = Timer(load_machine(target))
    Simulator(target, lnc, report_only=True, observers=[timer], numerics=False).run(kernel, *args, **options)
    return timer.timeline()


def pe_active_percent(timeline: Timeline) -> float:
    """Share of the latency in which the PE of core 0 loads weights, multiplies, or has a result under way."""
    spans = []
    for task in timeline.tasks:
        cost = timeline.costs[task.work]
        if task.engine == "tensor" and task.core == 0 and isinstance(cost, Cost):
            spans.append((timeline.begin[task.number] - cost.load_ns, timeline.done[task.number]))
    return 100 * covered(spans) / timeline.latency_ns


def dma_active_percent(timeline: Timeline) -> float:
    """Share of the latency in which at least one DMA engine of core 0 moves data."""
    moving = [task.number for task, _ in timeline.transfers() if task.core == 0]
    return 100 * covered((timeline.begin[n], timeline.end[n]) for n in moving) / timeline.latency_ns


def dma_busy_ns(timeline: Timeline) -> float:
    """How long all DMA engines are busy, in all."""
    return sum(sum(transfer.engines) for _, transfer in timeline.transfers())


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
