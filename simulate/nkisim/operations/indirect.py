# SPDX-License-Identifier: Apache-2.0
"""Operands that are `.indirect()` views: on which engines, and where they start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nkisim.errors import ArgumentError, BufferRuleError, EngineError, PartitionError
from nkisim.memory import Columns, MemoryRegion, NkiTensor, grouped
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.operation import Operation

PE_GROUP, GROUP = 32, 16


@dataclass(frozen=True)
class IndirectOperands:
    """Which operands of an instruction may be indirect, and what else holds then.

    Attributes:
        names: dst first, then the one whose partitions dst goes with; none for most instructions.
        engines: those that take indirect operands; empty for all that run the instruction.
        check: rules of the instruction's own, given its arguments and its indirect operands, both by name.
    """

    names: tuple[str, ...] = ()
    engines: tuple[Engine, ...] = ()
    check: Callable[[dict[str, Any], dict[str, Any]], None] | None = None

    def admit(self, opcode: str, given: dict[str, Any], operation: Operation) -> Operation:
        """`operation` with its indirect operands as its engine sees them.

        Args:
            given: the instruction's arguments by name.

        Raises:
            TargetError, ArgumentError, EngineError, BufferRuleError, PartitionError: such an operand is not allowed
                here.
        """
        checks.generation(4, ".indirect()")
        views = {name: value for name, value in given.items() if is_indirect(value)}
        for name in views:
            if name not in self.names:
                listed = ", ".join(self.names) or "none"
                raise ArgumentError(f"indirect operands of {opcode} are {listed}", name, "Copy it with tensor_copy.")
        unit = operation.engine
        if self.engines and unit not in self.engines:
            names = ", ".join(e.name for e in self.engines)
            raise EngineError(f"an indirect {opcode} runs on {names}", unit.name, "Leave engine unset.")
        if unit is Engine.scalar and "dst" in views and given["dst"].buffer is MemoryRegion.psum:
            raise BufferRuleError(
                "the Scalar Engine does not scatter into PSUM", "dst is in PSUM", "Use engine.vector."
            )
        if self.check is not None:
            self.check(given, views)
        _check_starts(views, given[self.names[1]])
        group = PE_GROUP if unit is Engine.tensor else GROUP
        reads, writes = ([grouped(t, group) for t in operands] for operands in (operation.reads, operation.writes))
        return replace(operation, reads=tuple(reads), writes=tuple(writes))


def is_indirect(value: Any) -> bool:
    """Whether `value` is an indirect view of columns."""
    return isinstance(value, NkiTensor) and isinstance(value.indirection, Columns)


def untiled(given: dict[str, Any]) -> None:
    """Indirect operands of the Tensor Engine exclude PE tiling."""
    if tuple(given.get("tile_position") or (0, 0)) != (0, 0):
        raise ArgumentError(
            "indirect operands exclude PE tiling", f"tile_position {given['tile_position']}", "Use (0, 0)."
        )


def _check_starts(views: dict[str, Any], main: Any) -> None:
    """Rules for operands that have addresses."""
    for name, view in views.items():
        index = view.indirection.index
        start = checks.start_partition(index)
        if index.storage.address is not None and start % checks.QUADRANT:
            raise PartitionError(
                "offsets start at a multiple of 32 partitions", f"those of {name} at partition {start}", "Align them."
            )
        if name != "dst":
            _together(name, view, f"the offsets of {name}", index)
        elif main.buffer is MemoryRegion.sbuf:
            _together("the offsets of dst", index, "the input", main)
        elif is_indirect(main):
            _together("the offsets of dst", index, "the offsets of the input", main.indirection.index)


def _together(first: str, a: NkiTensor, second: str, b: NkiTensor) -> None:
    starts = (checks.start_partition(a), checks.start_partition(b))
    if a.storage.address is not None and b.storage.address is not None and starts[0] != starts[1]:
        raise PartitionError(
            f"{first} and {second} start on one partition", f"partitions {starts[0]} and {starts[1]}", "Align them."
        )
