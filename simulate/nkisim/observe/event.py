# SPDX-License-Identifier: Apache-2.0
"""An executed instruction, as observers see it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nkisim.errors import Location, SimulationError
from nkisim.memory import Access
from nkisim.observe.position import Position
from nkisim.observe.traits import Traits


@dataclass(frozen=True, slots=True)
class Work:
    """How much an instruction does, never how long that takes.

    Attributes:
        elements: results an engine lane produces, per partition.
        macs: multiply-accumulates of a matmul.
    """

    elements: int = 0
    macs: int = 0


@dataclass(slots=True, eq=False)
class Event:
    """One instruction.

    Attributes:
        index: position in its core's program.
        core: 0 or 1.
        opcode: name of the instruction in `nki.isa`.
        traits: what is true of every use of it.
        engine: "tensor", "vector", "scalar", "gpsimd", "dma" or "sync".
        reads, writes: the bytes it touched; the indices of a gather are among the reads.
        work: how much it did.
        details: parameters that matter to time (operation, DGE mode, transpose, ...).
        position: the kernel line, and the calls that led to it.
        name: the `name=` argument, or None.
        unwritten: operands read before anything wrote them, with the first such element.
        after: indices of same-core events it must follow (`depends_on`, and the loads of its registers).
        ordered: inside `nl.no_reorder`.
        indexed_rows: rows that runtime indices name, those out of bounds included; 0 where one index moves the whole
            access, None where all addresses are static.
        alike: the same object for instructions that differ in nothing but the bytes they touch; None: nobody looked.
        skipped_reads, skipped_writes: on chip, whole operands of which runtime indices out of bounds dropped something.
            What was laid out before the run knew nothing of that.
        rewrites: those of `writes` to shared HBM that left every byte as it was.
    """

    index: int
    core: int
    opcode: str
    traits: Traits
    engine: str
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    work: Work
    details: Mapping[str, Any]
    position: Position
    name: str | None = None
    unwritten: tuple[tuple[Access, tuple[int, ...]], ...] = ()
    after: list[int] = field(default_factory=list)
    ordered: bool = False
    indexed_rows: int | None = None
    rewrites: tuple[Access, ...] = ()
    alike: object = None
    skipped_reads: tuple[Access, ...] = ()
    skipped_writes: tuple[Access, ...] = ()

    @property
    def location(self) -> Location:
        """The kernel line."""
        return self.position.location


class LoopMark(enum.Enum):
    """What happens to a device loop."""

    begin = "begin"
    iteration = "iteration"
    end = "end"


@dataclass(frozen=True)
class Finding:
    """A problem a detector found; `error` carries code, message and kernel line."""

    error: SimulationError

    @property
    def code(self) -> str:
        return self.error.code

    def __str__(self) -> str:
        return str(self.error)


class Observer:
    """Base of everything that watches a launch. Two of the methods return the problems they found."""

    def on_instruction(self, event: Event) -> list[Finding]:
        """Called after each instruction, in the deterministic order of execution."""
        return []

    def on_loop(self, core: int, mark: LoopMark, since: int) -> None:
        """Called when a device loop begins, before each of its iterations, and when it ends.

        Args:
            since: storages with a smaller identity are older than the loop.
        """

    def on_finish(self) -> list[Finding]:
        """Called once, after the last core has finished without error."""
        return []
