"""The clock that is judged. Another one is plugged in here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.tape import Tape
from nkisim.machine import Machine
from nkisim.timing import Timeline, Timer, schedules


@dataclass(frozen=True)
class Prediction:
    """When everything happens in a body, and between which bounds.

    Attributes:
        timeline: the nominal one.
        others: those in other orders and at the corners of the machine.
        unexplained: a factor for what these leave open.
    """

    timeline: Timeline
    others: tuple[Timeline, ...]
    unexplained: float


def predict(program: Tape, machine: Machine) -> Prediction:
    """What nkisim predicts for `program` on `machine`."""
    timer = Timer(machine)
    program.play(timer)
    nominal, *others = (timeline for _, timeline in schedules(timer.program, machine))
    return Prediction(nominal, tuple(others), machine.number("order.unexplained"))
