"""Instructions as a profile shows them, whoever made the profile, and sums of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

_MATMULS = ("matmul", "ncmatmul", "multiplymoving")


@dataclass(frozen=True)
class ProfiledInstruction:
    """One row of a profile's table of instructions.

    Attributes:
        engine: tensor, vector, scalar, gpsimd, sync, or what the profile calls it.
        opcode: in the words of the profile.
        start_ns: since the profile began.
        line: file and line of the kernel; empty if the profile has none.
    """

    engine: str
    opcode: str
    start_ns: float
    duration_ns: float
    line: str = ""

    @property
    def is_matmul(self) -> bool:
        return plain_opcode(self.opcode).startswith(_MATMULS)


@dataclass(frozen=True)
class InstructionSum:
    """Instructions that have something in common.

    Attributes:
        engine: theirs, or of most of them.
        what: their opcode, or their line.
        busy_us: of all of them, each for itself.
    """

    engine: str
    what: str
    instructions: int
    busy_us: float


def plain_opcode(opcode: str) -> str:
    """An opcode as both sides spell it: small letters only."""
    return "".join(letter for letter in opcode.lower() if letter.isalnum())


def by_opcode(instructions: Iterable[ProfiledInstruction]) -> list[InstructionSum]:
    """Sums by engine and opcode, most work first."""
    return _sums(instructions, lambda each: (each.engine, each.opcode), lambda each: each.opcode)


def by_line(instructions: Iterable[ProfiledInstruction]) -> list[InstructionSum]:
    """Sums by line of the kernel, most work first; what has no line is left out."""
    return _sums((each for each in instructions if each.line), lambda each: each.line, lambda each: each.line)


def _sums(
    instructions: Iterable[ProfiledInstruction],
    key: Callable[[ProfiledInstruction], Hashable],
    name: Callable[[ProfiledInstruction], str],
) -> list[InstructionSum]:
    groups: dict[Hashable, list[ProfiledInstruction]] = {}
    for each in instructions:
        groups.setdefault(key(each), []).append(each)
    sums = [
        InstructionSum(group[0].engine, name(group[0]), len(group), sum(each.duration_ns for each in group) / 1e3)
        for group in groups.values()
    ]
    return sorted(sums, key=lambda each: -each.busy_us)
