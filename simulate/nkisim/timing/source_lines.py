# SPDX-License-Identifier: Apache-2.0
"""Which kernel lines the time goes to, and which calls led there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from nkisim.errors import Chain, Location
from nkisim.timing.critical_path import CriticalPath
from nkisim.timing.timeline import Timeline

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Spent:
    """What instructions took, on all cores together.

    Attributes:
        instructions: how many.
        critical_ns: their part of the critical path.
        busy_ns: time they were at work, overlapping ones each for itself.
    """

    instructions: int = 0
    critical_ns: float = 0.0
    busy_ns: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.instructions + other.instructions,
            self.critical_ns + other.critical_ns,
            self.busy_ns + other.busy_ns,
        )


@dataclass(frozen=True)
class SourceLine:
    """A line of kernel source with its own instructions, from wherever it was called.

    Attributes:
        opcodes: its instructions, the most frequent first.
        instructions, critical_ns, busy_ns: as in `Spent`.
    """

    location: Location
    opcodes: tuple[str, ...]
    instructions: int
    critical_ns: float
    busy_ns: float


def spent_by_chain(timeline: Timeline, path: CriticalPath) -> dict[Chain, Spent]:
    """What was spent at each line, apart for each chain of calls that led to it."""
    count, busy, critical = Counter[Chain](), defaultdict[Chain, float](float), defaultdict[Chain, float](float)
    for task in timeline.tasks:
        count[task.position.chain] += 1
        busy[task.position.chain] += timeline.end[task.number] - timeline.begin[task.number]
    for step in path.steps:
        critical[timeline.tasks[step.task].position.chain] += step.ns
    return {chain: Spent(number, critical[chain], busy[chain]) for chain, number in count.items()}


def source_lines(timeline: Timeline, spent: dict[Chain, Spent]) -> list[SourceLine]:
    """All lines with instructions: most time on the critical path first, then most work."""
    opcodes: dict[Location, Counter[str]] = {}
    for task in timeline.tasks:
        opcodes.setdefault(task.location, Counter())[task.opcode] += 1
    total = spent_by(spent, lambda chain: chain[-1:])
    lines = [
        SourceLine(where, _by_count(opcodes[where]), own.instructions, own.critical_ns, own.busy_ns)
        for where, own in total.items()
    ]
    return sorted(lines, key=lambda line: (-line.critical_ns, -line.busy_ns, line.location))


def _by_count(opcodes: Counter[str]) -> tuple[str, ...]:
    return tuple(opcode for opcode, _ in opcodes.most_common())


def spent_by(spent: dict[Chain, Spent], keys: Callable[[Chain], Iterable[_Key]]) -> dict[_Key, Spent]:
    """The sums by what `keys` says of a chain; a chain counts once for a key, however often that is among them."""
    total: dict[_Key, Spent] = {}
    for chain, part in spent.items():
        for key in dict.fromkeys(keys(chain)):
            total[key] = total.get(key, Spent()) + part
    return total
