# SPDX-License-Identifier: Apache-2.0
"""How rows of the output are updated. Kernels make one of these, and what each costs is counted from its properties."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Clearing(Enum):
    """Who makes rows zero that results are added to, or that no slot names."""

    nobody = "nobody"
    each = "each core, all rows of its own"
    together = "each core, its part of the rows or columns"


@dataclass(frozen=True)
class OutputForm:
    """A way to update rows.

    Attributes:
        name: for people.
        clearing: before the first block.
        adds_to_old: rows are read, added to and written, for each slot.
        in_turns: the Vector and the Scalar Engine round results, in turns, before any are added.
        swaps_halves: half of the columns of each block's results go to the other core.
        slabs: that are added at the end, or 0.
        sums_choices: rows of a token's choices are added at the end.
    """

    name: str
    clearing: Clearing
    adds_to_old: bool = False
    in_turns: bool = False
    swaps_halves: bool = False
    slabs: int = 0
    sums_choices: bool = False

    def __str__(self) -> str:
        return self.name


OVERWRITTEN = OutputForm("overwritten", Clearing.together)
ADDED = OutputForm("added to given rows", Clearing.nobody)
BY_CHOICE = OutputForm("a row a choice, added at the end", Clearing.nobody, in_turns=True, sums_choices=True)
ACCUMULATED = OutputForm("accumulated", Clearing.each, adds_to_old=True)
SHARED = OutputForm("accumulated by both cores", Clearing.together, adds_to_old=True)
HALVES = OutputForm(
    "accumulated, half of the columns a core", Clearing.together, adds_to_old=True, in_turns=True, swaps_halves=True
)
SLABS = OutputForm("a slab a core, added at the end", Clearing.each, adds_to_old=True, slabs=2)
SLABS_RETURNED = OutputForm("a slab a core, added at the end, all returned", Clearing.each, adds_to_old=True, slabs=2)
