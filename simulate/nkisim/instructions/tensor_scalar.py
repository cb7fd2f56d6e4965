# SPDX-License-Identifier: Apache-2.0
"""tensor_scalar: up to two operations with a scalar or one element a partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, EngineError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator
from nkisim.operations.wide_integers import check_result


@instruction(
    cost=CostClass.elementwise,
    on=(Engine.vector, Engine.scalar, Engine.gpsimd),
    indirect=IndirectOperands(("dst", "data")),
    by_forms=True,
)
def tensor_scalar(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Any,
    operand0: Any,
    reverse0: bool = False,
    op1: Any = None,
    operand1: Any = None,
    reverse1: bool = False,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Operation:
    """dst = (data <op0> operand0) <op1> operand1, in fp32.

    ```python
    x, column = nl.ones((128, 512), nl.float32), nl.ones((128, 1), nl.float32)
    y = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=y, data=x, op0=nl.multiply, operand0=column, op1=nl.add, operand1=1.0)
    ```
    """
    steps = _steps(op0, operand0, reverse0, op1, operand1, reverse1)
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    checks.writable("dst", dst)
    columns: list[NkiTensor] = []
    for i, (op, operand, _) in enumerate(steps):
        alu.check_bitwise(op, dst=dst, data=data)
        if op.arity == 2:
            columns += checks.scalar_or_column(f"operand{i}", operand, data, None if op.bitwise else "float32")
            alu.check_bits(op, f"operand{i}", operand, data)
    unit = checks.choose_engine(engine, (Engine.vector, Engine.scalar, Engine.gpsimd), _default(steps))
    _check_engine(unit, steps)
    named = [("dst", dst), ("data", data), *(("an operand", c) for c in columns)]
    checks.gpsimd_stays_out_of_psum(unit, *named)

    def compute(values: Any, *scalars: Any) -> Any:
        (result,) = alu.operands(steps[0][0], values)
        waiting = list(scalars)
        for op, operand, reverse in steps:
            right = alu.column(waiting.pop(0), values) if isinstance(operand, NkiTensor) else operand
            right = right if op.bitwise or op.arity == 1 else np.asarray(right, np.float32)
            result = alu.apply(op, right, result) if reverse else alu.apply(op, result, right)
        return check_result(values, result)

    details = {"ops": tuple(op.name for op, _, _ in steps)}
    return Operation(unit, (data, *columns), (dst,), compute, Work(checks.free_size(dst)), details, name)


def _steps(
    op0: Any, operand0: Any, reverse0: bool, op1: Any, operand1: Any, reverse1: bool
) -> list[tuple[Operator, Any, bool]]:
    given = [(op0, operand0, reverse0, "op0")] + ([(op1, operand1, reverse1, "op1")] if op1 is not None else [])
    if op1 is None and (operand1 is not None or reverse1):
        raise ArgumentError(
            "operand1 and reverse1 need op1", f"operand1={operand1!r}, reverse1={reverse1} without op1", "Pass op1."
        )
    steps = [(alu.alu_operator(op, argument=argument), operand, reverse) for op, operand, reverse, argument in given]
    for op, operand, reverse in steps:
        if op.arity == 2 and operand is None:
            raise ArgumentError(f"nl.{op.name} needs an operand", "None", "Pass a number or a [P, 1] tile.")
        if op.arity == 1 and (reverse or isinstance(operand, NkiTensor) or operand not in (None, 0)):
            raise ArgumentError(
                f"nl.{op.name} is unary: its operand is None or 0 and not reversed",
                f"operand {operand!r}, reverse {reverse}",
                "Drop them.",
            )
    if len({op.bitwise for op, _, _ in steps}) > 1:
        names = " and ".join(f"nl.{op.name}" for op, _, _ in steps)
        raise ArgumentError("op0 and op1 are both bitwise or both arithmetic", names, "Use two instructions.")
    return steps


def _default(steps: list[tuple[Operator, Any, bool]]) -> Engine:
    return Engine.gpsimd if any(op.name in ("rsqrt", "power") for op, _, _ in steps) else Engine.vector


def _check_engine(unit: Engine, steps: list[tuple[Operator, Any, bool]]) -> None:
    names = tuple(op.name for op, _, _ in steps)
    if unit is Engine.scalar and names not in (("multiply", "add"), ("multiply",), ("add",)):
        raise EngineError(
            "the Scalar Engine's tensor_scalar does multiply+add, multiply, or add",
            " then ".join(names),
            "Leave engine unset to use the Vector Engine.",
        )
    if unit is Engine.gpsimd and not {"rsqrt", "power"} & set(names):
        raise EngineError("GpSimd's tensor_scalar is for rsqrt", " then ".join(names), "Use engine.vector.")
