# SPDX-License-Identifier: Apache-2.0
"""Accumulator registers: one fp32 value a lane, which an engine keeps between instructions.

The Scalar Engine has one set, the Vector Engine another; each is shared by all instructions of its engine that reduce.
A lane is the physical partition of the instruction's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkisim.dtypes import Array, to_float32
from nkisim.errors import ArgumentError, NotSimulated, ShapeError, UninitializedRead
from nkisim.execution.neuron_core import current_core
from nkisim.memory import NkiTensor
from nkisim.observe import Work
from nkisim.operations import alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator

FLOATS = ("float8_e4m3", "float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "tfloat32")
_IDENTITY = {"add": 0, "subtract": 0, "multiply": 1, "maximum": -np.inf, "minimum": np.inf, "abs_max": 0}
_IDENTITY["abs_min"] = np.inf
_NEW = (ReduceCmd.reset, ReduceCmd.reset_reduce, ReduceCmd.load_reduce)


class Accumulators:
    """The registers of one engine.

    Attributes:
        values: one a lane.
        known: whether the lane holds a defined value.
    """

    def __init__(self) -> None:
        self.values = np.zeros(checks.PARTITIONS, np.float32)
        self.known = np.zeros(checks.PARTITIONS, np.bool_)


def registers(engine: Engine) -> Accumulators:
    """The accumulator registers of the running core's `engine`."""
    made: Accumulators = current_core().engine_state.setdefault(f"{engine.name} accumulators", Accumulators())
    return made


def identity(op: Operator | None) -> np.float32:
    """What a reset puts into the registers."""
    return np.float32(_IDENTITY[op.name] if op is not None else 0)


@dataclass
class Reduction:
    """What one instruction does with the registers.

    Attributes:
        engine, state, lanes: the registers it uses.
        command, op: as the instruction's arguments say.
        result: where the registers are read out to, or None.
        negate: the values read out are negated.
    """

    engine: Engine
    state: Accumulators
    lanes: slice
    command: ReduceCmd
    op: Operator | None
    result: NkiTensor | None
    negate: bool = False

    @property
    def discards(self) -> bool:
        """Whether the elements may go to one place, because the reduction is what counts."""
        return self.result is not None or self.command in (ReduceCmd.reduce, *_NEW)

    def start(self, initial: Any = None) -> Array:
        """The registers before the first element."""
        lanes = self.state.values[self.lanes]
        if self.command is ReduceCmd.load_reduce:
            return np.broadcast_to(to_float32(np.asarray(initial)).reshape(-1), lanes.shape).copy()
        return lanes.copy() if self.command not in _NEW else np.full_like(lanes, identity(self.op))

    def keep(self, values: Array) -> tuple[Array, ...]:
        """Leave `values` in the registers; returns them if they are to be read out."""
        self.state.values[self.lanes] = values
        return () if self.result is None else (-values if self.negate else values,)

    def over(self, values: Array, initial: Any = None) -> tuple[Array, ...]:
        """Carry out the command on the elements an instruction produced; returns what `result` receives."""
        if self.command is ReduceCmd.idle:
            return () if self.result is None else (self.state.values[self.lanes].copy(),)
        first = self.start(initial)
        return self.keep(first if self.command is ReduceCmd.reset else fold(self.op, first, values))

    def operation(
        self,
        reads: tuple[NkiTensor, ...],
        dst: NkiTensor,
        compute: Callable[..., Any],
        details: Mapping[str, Any],
        name: str | None,
    ) -> Operation:
        """The instruction that does this on the way: `compute` gives the elements of `dst`, and what `over` returns."""
        writes = (dst,) if self.result is None else (dst, self.result)
        depends_on_registers = self.command is not ReduceCmd.idle or self.result is not None
        work = Work(checks.free_size(dst))
        return Operation(self.engine, reads, writes, compute, work, details, name, hidden_input=depends_on_registers)


def fold(op: Operator | None, first: Array, values: Array) -> Array:
    """`first <op> values[0] <op> values[1] ...` in each partition."""
    flat = to_float32(values).reshape(values.shape[0], -1)
    assert op is not None
    if isinstance(op.function, np.ufunc):
        return np.asarray(op.function(first, op.function.reduce(flat, axis=1)), np.float32)
    for i in range(flat.shape[1]):
        first = np.asarray(op.function(first, flat[:, i]), np.float32)
    return first


def plan(
    engine: Engine,
    data: NkiTensor,
    command: Any,
    op: Any,
    result: NkiTensor | None,
    ops: tuple[str, ...],
    commands: tuple[ReduceCmd, ...],
    negate: bool = False,
) -> Reduction:
    """The reduction an instruction asks for, checked.

    Raises:
        ArgumentError: a command or operator the instruction does not have, or an argument without effect.
        UninitializedRead: the registers it continues from hold nothing defined.
    """
    if not isinstance(command, ReduceCmd) or command not in commands:
        names = ", ".join(c.name for c in commands)
        raise ArgumentError(f"reduce_cmd is one of {names}", f"{command!r}", "Use one of them.")
    keeps = engine is Engine.scalar
    if result is not None:
        _check_result(result, data)
    if command is ReduceCmd.idle and (result is not None and not keeps):
        raise ArgumentError(
            "reduce_res needs a reduce_cmd that leaves a defined value", "reduce_cmd.idle", "Use reset_reduce."
        )
    needs_op = command is not ReduceCmd.idle and (command is not ReduceCmd.reset or op is not None)
    checked = _operator(op, ops) if needs_op else None
    start = checks.start_partition(data)
    lanes = slice(start, start + data.shape[0])
    reduction = Reduction(engine, registers(engine), lanes, command, checked, result, negate)
    if command is ReduceCmd.reduce or (command is ReduceCmd.idle and result is not None):
        _check_known(reduction, engine)
    changes = command is not ReduceCmd.idle or not keeps
    if changes and not current_core().only_traces:
        reduction.state.known[reduction.lanes] = command is not ReduceCmd.idle
    return reduction


def initial_value(command: Any, value: Any, data: NkiTensor, operand: str, unset: Any) -> list[NkiTensor]:
    """The operand of `load_reduce`, which no other command takes; `unset` is its default."""
    if command is not ReduceCmd.load_reduce:
        if isinstance(value, NkiTensor) or value != unset:
            raise ArgumentError(f"{operand} is for reduce_cmd.load_reduce", f"{value!r} with {command}", "Drop it.")
        return []
    if value is None:
        raise ArgumentError(f"reduce_cmd.load_reduce needs {operand}", "None", "Pass a number or a [P, 1] tile.")
    return checks.scalar_or_column(operand, value, data, "float32")


def discardable(dst: NkiTensor, reduction: Reduction) -> None:
    """A destination addresses each element once, unless only the reduction is wanted (a step of 0)."""
    if not reduction.discards:
        checks.writable("dst", dst)


def open_command(instruction: str, command: Any, left_open: tuple[ReduceCmd, ...]) -> None:
    """Refuse commands that the reference lists without saying what they do in this instruction."""
    if command in left_open:
        raise NotSimulated(
            f"the reference does not say what nisa.{instruction} does with this reduce_cmd", f"{command}",
            "Use reset_reduce or reduce.",
        )  # fmt: skip


def _operator(op: Any, ops: tuple[str, ...]) -> Operator:
    if not isinstance(op, Operator) or op.name not in ops:
        names = ", ".join(f"nl.{name}" for name in ops)
        raise ArgumentError(f"reduce_op is one of {names}", f"{op!r}", "Use one of them, or tensor_reduce.")
    return op


def _check_result(result: NkiTensor, data: NkiTensor) -> None:
    checks.on_chip(("reduce_res", result))
    checks.not_packed(("reduce_res", result))
    if result.shape[0] != data.shape[0] or checks.free_size(result) != 1:
        raise ShapeError(
            "reduce_res has one element a partition of the input", f"{result.shape} for {data.shape}", "Fix its shape."
        )


def _check_known(reduction: Reduction, engine: Engine) -> None:
    known = reduction.state.known[reduction.lanes]
    if not known.all() and not current_core().only_traces:
        lane = reduction.lanes.start + int(np.argmin(known))
        raise UninitializedRead(
            f"the accumulator registers of the {engine.name} engine hold a value before it is used",
            f"lane {lane} holds none (never reset, or left undefined by an instruction with reduce_cmd.idle)",
            "Start with reduce_cmd.reset_reduce.",
        )


def column_or_number(value: Any, waiting: list[Array], like: Array) -> Any:
    """A scalar operand as the engines use it: the next column among the values read, or the number in fp32."""
    if isinstance(value, NkiTensor):
        return alu.column(to_float32(waiting.pop(0)), like)
    return np.float32(value)
