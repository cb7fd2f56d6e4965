# SPDX-License-Identifier: Apache-2.0
"""tensor_scalar_reduce: one operation with a scalar, and a reduction of its results."""

from __future__ import annotations

from typing import Any

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import accumulators, alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_COMMANDS = (ReduceCmd.reset_reduce, ReduceCmd.reduce, ReduceCmd.load_reduce)
_REDUCTIONS = ("add", "multiply", "maximum", "minimum")


@instruction(cost=CostClass.elementwise_reduction, on=Engine.vector, indirect=IndirectOperands(("dst", "data")))
def tensor_scalar_reduce(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Any,
    operand0: Any,
    reduce_op: Any,
    reduce_res: NkiTensor | None = None,
    reverse0: bool = False,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,
    reduce_init: Any = None,
    reduce_res_negate: bool = False,
    name: str | None = None,
) -> Operation:
    """dst = data <op0> operand0; the fp32 results are also reduced along all free dimensions.

    operand0 is a number or a float32 [P, 1] tile. reduce_res_negate negates what reduce_res receives.

    ```python
    x, total = nl.ones((128, 512), nl.float32), nl.ndarray((128, 1), nl.float32, buffer=nl.sbuf)
    y = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar_reduce(dst=y, data=x, op0=nl.multiply, operand0=2.0, reduce_op=nl.add, reduce_res=total)
    ```
    """
    op = alu.alu_operator(op0, argument="op0")
    if op.bitwise or reverse0:
        raise ArgumentError(
            "tensor_scalar_reduce does one arithmetic operation, not reversed",
            f"{op!r}, reverse0={reverse0}",
            "Use tensor_scalar and tensor_reduce.",
        )
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    columns = _operand(op, operand0, data)
    starts = accumulators.initial_value(reduce_cmd, reduce_init, data, "reduce_init", None)
    if reduce_res_negate and reduce_res is None:
        raise ArgumentError("reduce_res_negate needs reduce_res", "None", "Pass a tile for the result.")
    reduction = accumulators.plan(
        Engine.vector, data, reduce_cmd, reduce_op, reduce_res, _REDUCTIONS, _COMMANDS, reduce_res_negate
    )
    accumulators.discardable(dst, reduction)

    def compute(values: Any, *scalars: Any) -> Any:
        waiting = list(scalars)
        right = 0.0 if op.arity == 1 else accumulators.column_or_number(operand0, waiting, values)
        result = alu.apply(op, to_float32(values), right)
        return (result, *reduction.over(result, waiting.pop(0) if starts else reduce_init))

    details = {"ops": (op.name,), "reduce_cmd": reduce_cmd.name}
    reads = (data, *columns, *starts)
    return reduction.operation(reads, dst, compute, details, name)


def _operand(op: Any, operand0: Any, data: NkiTensor) -> list[NkiTensor]:
    if op.arity == 2:
        if operand0 is None:
            raise ArgumentError(f"nl.{op.name} needs an operand", "None", "Pass a number or a [P, 1] tile.")
        return checks.scalar_or_column("operand0", operand0, data, "float32")
    if isinstance(operand0, NkiTensor) or operand0 not in (None, 0):
        raise ArgumentError(f"nl.{op.name} is unary: its operand is None or 0", f"{operand0!r}", "Drop it.")
    return []
