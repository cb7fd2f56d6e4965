# SPDX-License-Identifier: Apache-2.0
"""A prefill's steps with their times: simulated where a kernel is there, else by arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nkimoe.cli.model.sample import Sample, Simulated
from nkimoe.cli.model.simulations import Simulations, estimate_of
from nkimoe.prefill.arithmetic import arithmetic
from nkimoe.prefill.estimate import Estimate, Origin, total
from nkimoe.prefill.links import Exchange, meeting
from nkimoe.prefill.memory import Memory, memory_of
from nkimoe.prefill.steps import Compute, Prefill, Step
from nkimoe.reference.roofline import roofline

MEETING = "start of all ranks"
Answers = Callable[[Simulated], Sample]


@dataclass(frozen=True)
class TimedStep:
    """One kind of step of a prefill.

    Attributes:
        each: time of one call; calls: in a prefill.
        origin: what the time rests on.
        bound_by: what bounds it.
        is_extended: the time follows from simulations of fewer rows.
        note: why no kernel was simulated, where one could be.
    """

    name: str
    calls: int
    each: Estimate
    origin: Origin
    bound_by: str
    is_extended: bool = False
    note: str = ""

    @property
    def all(self) -> Estimate:
        """Of all calls."""
        return self.each * self.calls


@dataclass(frozen=True)
class PrefillPrediction:
    """Time and memory of a rank, and with it of all: they wait for each other."""

    prefill: Prefill
    steps: Sequence[TimedStep]
    memory: Memory

    @property
    def first_token(self) -> Estimate:
        """Until the first token of each prompt is known; nothing overlaps."""
        return total(step.all for step in self.steps)

    @property
    def longest(self) -> TimedStep:
        """What takes most of the time."""
        return max(self.steps, key=lambda step: step.all.us)

    def share(self, origin: Origin) -> float:
        """Of the time, that rests on it."""
        return sum(step.all.us for step in self.steps if step.origin is origin) / self.first_token.us

    @property
    def share_extended(self) -> float:
        """Of the time, that follows from simulations of fewer rows."""
        return sum(step.all.us for step in self.steps if step.is_extended) / self.first_token.us


def simulations_of(prefill: Prefill, simulations: Simulations) -> Iterator[Simulated]:
    """All that its prediction asks for."""
    for step in prefill.steps():
        if isinstance(step.of, Compute):
            for _, asked in simulations.of(prefill, step.of):
                yield from asked


def predicted(prefill: Prefill, simulations: Simulations, answers: Answers) -> PrefillPrediction:
    """Its steps, by what simulations say.

    Args:
        answers: the sample of each of `simulations_of`.
    """
    start = TimedStep(MEETING, 1, meeting(prefill.layout), Origin.LINKS, "rendezvous")
    steps = [start, *(_timed(prefill, step, simulations, answers) for step in prefill.steps())]
    memory = memory_of(prefill.model, prefill.layout, prefill.tokens, prefill.weights)
    return PrefillPrediction(prefill, [step for step in steps if step.all.us], memory)


def _timed(prefill: Prefill, step: Step, simulations: Simulations, answers: Answers) -> TimedStep:
    layout, of = prefill.layout, step.of
    if isinstance(of, Exchange):
        return TimedStep(step.name, step.calls, of.estimate(layout), Origin.LINKS, of.collective.value)
    asked = simulations.of(prefill, of)
    samples = [(rows, tuple(map(answers, each))) for rows, each in asked]
    each = estimate_of(samples, of.tokens) if samples else None
    if each is not None:
        bound = samples[-1][1][-1].bound_by
        return TimedStep(step.name, step.calls, each, asked[0][1][0].origin, bound, is_extended=len(samples) > 1)
    reasons = (sample.reason for _, found in samples for sample in found if sample.reason)
    bound = roofline(of.work, layout.target, layout.lnc).bound_by
    return TimedStep(step.name, step.calls, arithmetic(of, layout), Origin.ARITHMETIC, bound,
                     note=next(reasons, ""))  # fmt: skip
