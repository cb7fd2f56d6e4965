"""The program of a launch for its time alone, beside that of a launch with detectors."""

from collections import Counter
from dataclasses import fields
from typing import Any, NamedTuple

import pytest

from nkisim import Predictor, Simulator
from nkisim.operations import instruction
from nkisim.report.summary import Profile
from nkisim.timing.task import Task

KEPT = [field.name for field in fields(Task) if field.name != "position"]


def rows(profile: Profile) -> list[tuple[Any, ...]]:
    """All that a schedule may look at, and all else of each task but its line."""
    return [tuple(getattr(task, name) for name in KEPT) for task in profile.timer.program.tasks]


def profiles(target: str, cores: int, kernel: Any, *args: Any, **kwargs: Any) -> tuple[Profile, Profile]:
    """With detectors, and without."""
    full, alone = Simulator(target, cores, numerics=False), Predictor(target, cores)
    return full.run(kernel, *args, **kwargs).profile, alone.run(kernel, *args, **kwargs).profile


def assert_same(full: Profile, alone: Profile) -> None:
    """Programs, times and all else that is reported of them are equal, bit for bit."""
    assert rows(alone) == rows(full)
    one, other = alone.timer.program, full.timer.program
    assert one.drains == other.drains
    assert len(one.works.examples) == len(other.works.examples)
    assert (alone.latency_us, alone.interval_us) == (full.latency_us, full.interval_us)
    assert vars(alone.counters) == vars(full.counters)
    assert alone.sbuf_peak_bytes == full.sbuf_peak_bytes


class Issued(NamedTuple):
    """Of one instruction, how often it was issued, and how often its guards ran."""

    all_issued: int
    in_full: int


def issued_in_full(monkeypatch: pytest.MonkeyPatch, kernel: Any, **kwargs: Any) -> dict[str, Issued]:
    """By instruction, of a launch for its time alone on two cores of trn2."""
    in_full: Counter[str] = Counter()
    execute = instruction.execute

    def counted(core: Any, opcode: str, traits: Any, operation: Any) -> Any:
        in_full[opcode] += 1
        return execute(core, opcode, traits, operation)

    with monkeypatch.context() as patched:
        patched.setattr(instruction, "execute", counted)
        profile = Predictor("trn2", 2).run(kernel, **kwargs).profile
    return {opcode: Issued(count, in_full[opcode]) for opcode, count in profile.counters.opcodes.items()}
