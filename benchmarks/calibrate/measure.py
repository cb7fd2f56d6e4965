"""Quantities of a timeline, as a profiler on hardware defines them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nkisim import Simulator
from nkisim.machine import load_machine
from nkisim.timing import Timeline, Timer


def timeline_of(kernel: Any, *args: Any, target: str = "trn2", lnc: int = 1, **options: Any) -> Timeline:
    """When everything happens in one launch of `kernel`."""
    timer = Timer(load_machine(target))
    Simulator(target, lnc, report_only=True, observers=[timer], numerics=False).run(kernel, *args, **options)
    return timer.timeline()


def active_percent(timeline: Timeline, engine: str) -> float:
    """Share of the latency in which at least one instruction of `engine` runs, on core 0."""
    busy = covered(
        (timeline.begin[task.number], timeline.end[task.number])
        for task in timeline.tasks
        if task.engine == engine and task.core == 0
    )
    return 100 * busy / timeline.latency_ns


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
