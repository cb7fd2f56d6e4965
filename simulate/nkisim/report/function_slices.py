# SPDX-License-Identifier: Apache-2.0
"""Which calls of the kernel's functions the slices of a row belong to."""

from __future__ import annotations

from dataclasses import dataclass

from nkisim.errors import Location
from nkisim.observe import Position
from nkisim.report.source_text import stage_of
from nkisim.report.tracks import Track
from nkisim.timing import Timeline

MOST_LEVELS = 32


@dataclass(slots=True)
class FunctionSlice:
    """Neighbours on a row that were issued in one call of a function, by itself or by what it called.

    Attributes:
        position, level: the function is that of line `level` of the position's chain.
        first: number of the first slice in the row; begin, end: as of a `Slice`.
    """

    position: Position
    level: int
    first: int
    begin: int
    end: int

    @property
    def stage(self) -> str:
        """File and name of the function."""
        return stage_of(self.position.chain[self.level])

    @property
    def called_from(self) -> Location | None:
        """The line of the call; None of the kernel's own function."""
        return self.position.chain[self.level - 1] if self.level else None

    @property
    def call(self) -> int:
        """How many calls came before from that place."""
        return self.position.calls[self.level]


def function_slices(timeline: Timeline, track: Track) -> list[FunctionSlice]:
    """By their first slice; a function before those it calls."""
    found: list[FunctionSlice] = []
    around: list[FunctionSlice] = []
    before: Position | None = None
    for number, piece in enumerate(track.slices):
        position = timeline.tasks[piece.task].position
        if before is not position:
            del around[0 if before is None else _shared(before, position) :]
            for level in range(len(around), min(len(position.chain), MOST_LEVELS)):
                around.append(FunctionSlice(position, level, number, piece.begin, piece.end))
                found.append(around[-1])
        for each in around:
            each.end = piece.end
        before = position
    return found


def _shared(a: Position, b: Position) -> int:
    """How many calls two positions have in common."""
    levels = 0
    for mine, other, call, other_call in zip(a.chain, b.chain, a.calls, b.calls, strict=False):
        if call != other_call or stage_of(mine) != stage_of(other):
            break
        levels += 1
        if mine != other:
            break
    return levels
