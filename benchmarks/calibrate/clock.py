"""The clock that is judged. Another one is plugged in here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.tape import Tape
from nkisim.machine import Machine
from nkisim.timing import Timeline, Timer, forecast, timeline


@dataclass(frozen=True)
class Prediction:
    """When everything happens in a body, and between which latencies it may end.

    Attributes:
        timeline: the nominal one.
        low_ns, high_ns: the interval, where the clock gives one.
    """

    timeline: Timeline
    low_ns: float | None = None
    high_ns: float | None = None

    @property
    def nominal_ns(self) -> float:
        return self.timeline.latency_ns


def predict(program: Tape, machine: Machine) -> Prediction:
    """What nkisim predicts for `program` on `machine`."""
    timer = Timer(machine)
    program.play(timer)
    low, high = forecast(timer.program, machine).interval
    return Prediction(timeline(timer.program, machine), low, high)
