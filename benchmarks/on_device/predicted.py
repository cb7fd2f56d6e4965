"""What nkisim predicts of a case, in the words of a profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nkisim import Simulator
from nkisim.report.summary import Profile
from nkisim.timing import Timeline
from on_device.case import Case
from on_device.instruction_table import ProfiledInstruction


@dataclass(frozen=True)
class Prediction:
    """One case.

    Attributes:
        latency_us, interval_us: of the kernel, without its launch.
        busy_us: by engine, the mean of the cores; instructions: by engine, on all cores.
        table: every instruction.
    """

    latency_us: float
    interval_us: tuple[float, float]
    busy_us: dict[str, float]
    instructions: dict[str, int]
    hbm_read: int
    hbm_written: int
    table: list[ProfiledInstruction]


def predict(case: Case, target: str) -> Prediction:
    """Simulate shapes and integers of a case; on the machine file in use, if one is."""
    call = case.shapes()
    simulator = Simulator(target, case.cores, numerics=False, report_only=True)
    profile: Profile = simulator.run(call.kernel, *call.positional, **call.named).profile
    return Prediction(
        profile.latency_us, profile.interval_us,
        {name: use.busy_us for name, use in profile.engines.items()},
        {name: use.instructions for name, use in profile.engines.items()},
        profile.hbm_read, profile.hbm_written, instructions_of(profile.prediction.timeline),
    )  # fmt: skip


def instructions_of(timeline: Timeline) -> list[ProfiledInstruction]:
    """A predicted timeline as a table of instructions."""
    return [
        ProfiledInstruction(
            task.engine, task.opcode, timeline.begin[task.number],
            timeline.end[task.number] - timeline.begin[task.number],
            f"{Path(task.location.file).name}:{task.location.line}",
        )
        for task in timeline.tasks
    ]  # fmt: skip
