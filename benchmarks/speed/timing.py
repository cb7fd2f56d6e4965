"""Times of several actions, taken in turn so that a busy minute hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Say = Callable[[str], None]


@dataclass
class Times:
    """Seconds of one action.

    Attributes:
        first: wall time of the warm-up call, with whatever it compiles or faults in.
        repeats: wall times of the calls after it.
        processor: processor time of the same calls, all threads: what others on the machine disturb least.
    """

    first: float
    repeats: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.repeats)

    @property
    def median_processor(self) -> float:
        return statistics.median(self.processor)

    def as_json(self) -> dict[str, Any]:
        return {
            "first_s": self.first,
            "repeats_s": self.repeats,
            "median_s": self.median,
            "processor_s": self.processor,
            "median_processor_s": self.median_processor,
        }


def timed(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and processor seconds the action takes, and its result."""
    started, used = time.perf_counter(), time.process_time()
    result = action()
    return time.perf_counter() - started, time.process_time() - used, result


def interleaved(
    actions: Mapping[str, Callable[[], Any]], repeats: int, say: Say
) -> tuple[dict[str, Times], dict[str, Any]]:
    """Warm every action up, then run A B A B ...; the times, and the results of the warm-ups."""
    times: dict[str, Times] = {}
    results: dict[str, Any] = {}
    for name, action in actions.items():
        wall, _, results[name] = timed(action)
        times[name] = Times(wall)
        say(f"  {name}: warm-up {wall:.3g} s")
    for turn in range(repeats):
        for name, action in actions.items():
            wall, processor, _ = timed(action)
            times[name].repeats.append(wall)
            times[name].processor.append(processor)
            say(f"  {name}: repeat {turn + 1} of {repeats}, {wall:.3g} s")
    return times, results
