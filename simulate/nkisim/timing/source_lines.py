"""Which kernel lines the time goes to."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from nkisim.errors import Location
from nkisim.timing.critical_path import CriticalPath
from nkisim.timing.timeline import Timeline


@dataclass(frozen=True)
class SourceLine:
    """A line of kernel source, all its instructions on all cores together.

    Attributes:
        opcode: its most frequent instruction.
        instructions: how many.
        critical_ns: its part of the critical path.
        busy_ns: time its instructions were at work, overlapping ones each for itself.
    """

    location: Location
    opcode: str
    instructions: int
    critical_ns: float
    busy_ns: float


def source_lines(timeline: Timeline, path: CriticalPath) -> list[SourceLine]:
    """All lines: most time on the critical path first, then most work."""
    opcodes: dict[Location, Counter[str]] = {}
    busy: defaultdict[Location, float] = defaultdict(float)
    for task in timeline.tasks:
        opcodes.setdefault(task.location, Counter())[task.opcode] += 1
        busy[task.location] += timeline.end[task.number] - timeline.begin[task.number]
    critical: defaultdict[Location, float] = defaultdict(float)
    for step in path.steps:
        critical[timeline.tasks[step.task].location] += step.ns
    lines = [
        SourceLine(where, kinds.most_common(1)[0][0], sum(kinds.values()), critical[where], busy[where])
        for where, kinds in opcodes.items()
    ]
    return sorted(lines, key=lambda line: (-line.critical_ns, -line.busy_ns, line.location))
