# SPDX-License-Identifier: Apache-2.0
"""What the time model says about a run, in the units people use: microseconds, shares, bytes a second."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from nkisim.errors import Chain, Location
from nkisim.report.source_text import line_text, stage_of
from nkisim.timing import Timeline
from nkisim.timing.critical_path import CriticalPath, critical_path
from nkisim.timing.source_lines import SourceLine, Spent, source_lines, spent_by, spent_by_chain
from nkisim.timing.utilization import DmaUse, dma_use, engine_use

ENGINES = ("tensor", "vector", "scalar", "gpsimd", "dma", "sync")
MOST_LINES = 10


@dataclass(frozen=True)
class EngineSummary:
    """One engine, over all cores.

    Attributes:
        busy_us: time at work, the mean of the cores.
        utilization: that over the latency.
        instructions: on all cores together.
    """

    busy_us: float
    utilization: float
    instructions: int


@dataclass(frozen=True)
class FunctionCost:
    """A function of the kernel.

    Attributes:
        stage: file and name, as `stage_of` gives them.
        total: what its instructions took, with those of the functions it calls.
        own: without them.
    """

    stage: str
    total: Spent
    own: Spent


@dataclass(eq=False)
class Prediction:
    """A predicted schedule, summed up. Nothing here is measured.

    Attributes:
        timeline: every instruction and when it runs.
    """

    timeline: Timeline

    @property
    def latency_us(self) -> float:
        """From the launch to the last result."""
        return self.timeline.latency_ns / 1e3

    @cached_property
    def path(self) -> CriticalPath:
        return critical_path(self.timeline)

    @property
    def bound_by(self) -> str:
        """What the critical path spends most of its time on."""
        return self.path.bound_by

    @cached_property
    def critical_path_us(self) -> dict[str, float]:
        """The latency by what it was spent on, the largest part first."""
        return {resource: ns / 1e3 for resource, ns in self.path.ns_by_resource.items()}

    @cached_property
    def by_core(self) -> list[dict[str, EngineSummary]]:
        """Every engine of every core."""
        use, latency = engine_use(self.timeline), self.timeline.latency_ns
        cores: list[dict[str, EngineSummary]] = [{} for _ in range(self.timeline.cores)]
        for (core, engine), u in sorted(use.items(), key=lambda entry: ENGINES.index(entry[0][1])):
            cores[core][engine] = EngineSummary(u.busy_ns / 1e3, _share(u.busy_ns, latency), u.instructions)
        return cores

    @cached_property
    def engines(self) -> dict[str, EngineSummary]:
        """Every engine, over the cores."""
        cores = self.by_core
        used = [name for name in ENGINES if any(name in core for core in cores)]
        return {name: _over_cores([core[name] for core in cores if name in core], len(cores)) for name in used}

    @cached_property
    def dma(self) -> list[DmaUse]:
        """The DMA engines of each core."""
        return [use for _, use in sorted(dma_use(self.timeline).items())]

    @cached_property
    def spent(self) -> dict[Chain, Spent]:
        """What was spent at each kernel line, apart for each chain of calls that led to it."""
        return spent_by_chain(self.timeline, self.path)

    @cached_property
    def all_lines(self) -> list[SourceLine]:
        """All kernel lines with instructions, those that cost most first."""
        return source_lines(self.timeline, self.spent)

    @cached_property
    def called(self) -> dict[Location, Spent]:
        """What was spent in the functions that a line calls, and in those they call.

        What a line issues itself is not among it, though a comprehension on that line is a function for Python.
        """
        return spent_by(self.spent, lambda chain: (line for line in chain[:-1] if line != chain[-1]))

    @cached_property
    def functions(self) -> list[FunctionCost]:
        """All functions of the kernel, those that cost most first: a function comes before those it calls."""
        total = spent_by(self.spent, lambda chain: map(stage_of, chain))
        own = spent_by(self.spent, lambda chain: (stage_of(chain[-1]),))
        order = sorted(total, key=lambda stage: -total[stage].critical_ns)
        return [FunctionCost(stage, total[stage], own.get(stage, Spent())) for stage in order]

    @property
    def lines(self) -> list[SourceLine]:
        """The kernel lines that cost most."""
        return self.all_lines[:MOST_LINES]

    @cached_property
    def provenance(self) -> dict[str, float]:
        """Shares of the latency that rest on documented, derived and assumed constants; they sum to 1."""
        parts = self.path.confidence
        return {name: _share(part, parts.ns) for name, part in parts._asdict().items()}

    def to_json(self) -> dict[str, Any]:
        """Numbers for scripts; the keys are stable."""
        latency = self.latency_us
        return {
            "latency_us": latency,
            "bound_by": self.bound_by,
            "critical_path_us": self.critical_path_us,
            "engines": {name: asdict(summary) for name, summary in self.engines.items()},
            "cores": [{name: asdict(summary) for name, summary in core.items()} for core in self.by_core],
            "dma": [{**asdict(use), "gb_per_s": _share(use.nbytes, latency * 1e3)} for use in self.dma],
            "provenance": self.provenance,
            "lines": self.lines_json(),
            "functions": self.functions_json(),
        }

    def lines_json(self) -> list[dict[str, Any]]:
        """All kernel lines for scripts, those that cost most first."""
        return [
            {
                "place": str(line.location), "stage": stage_of(line.location), "source": line_text(line.location),
                "opcode": line.opcodes[0], "instructions": line.instructions,
                "critical_us": line.critical_ns / 1e3, "busy_us": line.busy_ns / 1e3,
            }
            for line in self.all_lines
        ]  # fmt: skip

    def functions_json(self) -> list[dict[str, Any]]:
        """All functions of the kernel for scripts, those that cost most first."""
        return [
            {
                "stage": each.stage, "instructions": each.total.instructions,
                "critical_us": each.total.critical_ns / 1e3, "own_critical_us": each.own.critical_ns / 1e3,
                "busy_us": each.total.busy_ns / 1e3,
            }
            for each in self.functions
        ]  # fmt: skip


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _over_cores(summaries: list[EngineSummary], cores: int) -> EngineSummary:
    return EngineSummary(
        sum(s.busy_us for s in summaries) / cores,
        sum(s.utilization for s in summaries) / cores,
        sum(s.instructions for s in summaries),
    )
