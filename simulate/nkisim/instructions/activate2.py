# SPDX-License-Identifier: Apache-2.0
"""activate2: up to two scalar operations, an activation function, and a reduction on the Scalar Engine."""

from __future__ import annotations

from typing import Any

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, DtypeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import accumulators, alu, checks
from nkisim.operations.activate import table
from nkisim.operations.activation_range import check_range
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator

_PAIRS = (
    ("multiply", "add"), ("multiply", "subtract"), ("multiply", "bypass"), ("add", "bypass"), ("subtract", "bypass"),
    ("bypass", "bypass"),
)  # fmt: skip
_COMMANDS = (ReduceCmd.idle, ReduceCmd.reset, ReduceCmd.reduce, ReduceCmd.reset_reduce)
_REDUCTIONS = ("add", "maximum", "minimum", "abs_max", "abs_min")


@instruction(cost=CostClass.activation, on=Engine.scalar, indirect=IndirectOperands(("dst", "data")))
def activate2(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    imm0: Any,
    imm1: Any,
    op0: Any,
    op1: Any,
    relu_param: Any = 0.0,
    reverse0: bool = False,
    reverse1: bool = False,
    reduce_op: Any = None,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    name: str | None = None,
) -> Operation:
    """dst = op((data <op0> imm0) <op1> imm1), on NeuronCore-v4; nl.bypass skips an operation and its operand.

    op0 and op1 are multiply with add or subtract, or one of the three before nl.bypass, which may also stand twice.
    imm0 and imm1 are numbers or [P, 1] tiles of one data type; so is relu_param, the slope of nl.prelu.

    ```python
    x = nl.ones((128, 512), nl.float32)
    y = nl.ndarray((128, 512), nl.bfloat16, buffer=nl.sbuf)
    nisa.activate2(dst=y, op=nl.sigmoid, data=x, imm0=2.0, imm1=-1.0, op0=nl.multiply, op1=nl.add)  # sigmoid(2 x - 1)
    ```
    """
    checks.generation(4, "activate2")
    op = table(op)
    steps = _steps(op0, imm0, reverse0, op1, imm1, reverse1)
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    columns = _columns(imm0, imm1, data, len(steps))
    slope = _slope(op, relu_param, data)
    if reduce_op is not None and reduce_cmd is ReduceCmd.idle:
        raise ArgumentError(
            "reduce_op needs a reduce_cmd that reduces", f"{reduce_op!r} with reduce_cmd.idle", "Use reset_reduce."
        )
    if reduce_op is None and reduce_cmd is ReduceCmd.reset:
        raise ArgumentError("a reset needs reduce_op, which says what it resets to", "None", "Pass reduce_op.")
    reduction = accumulators.plan(Engine.scalar, data, reduce_cmd, reduce_op, reduce_res, _REDUCTIONS, _COMMANDS)
    accumulators.discardable(dst, reduction)

    def compute(values: Any, *scalars: Any) -> Any:
        waiting, x = list(scalars), to_float32(values)
        for step, operand, reverse in steps:
            right = accumulators.column_or_number(operand, waiting, values)
            x = alu.apply(step, right, x) if reverse else alu.apply(step, x, right)
        check_range(op, x)
        if op.name == "prelu":
            result = alu.apply(op, x, accumulators.column_or_number(relu_param, waiting, values))
        else:
            result = alu.apply(op, x, 0.0)
        return (result, *reduction.over(result))

    details = {"op": op.name, "ops": tuple(step.name for step, _, _ in steps), "reduce_cmd": reduce_cmd.name}
    reads = (data, *columns, *slope)
    return reduction.operation(reads, dst, compute, details, name)


def _steps(
    op0: Any, imm0: Any, reverse0: bool, op1: Any, imm1: Any, reverse1: bool
) -> list[tuple[Operator, Any, bool]]:
    names = tuple(op.name if isinstance(op, Operator) else repr(op) for op in (op0, op1))
    if names not in _PAIRS:
        pairs = ", ".join("+".join(pair) for pair in _PAIRS)
        raise ArgumentError(f"op0 and op1 are one of {pairs}", " and ".join(names), "Use tensor_scalar before it.")
    for i, (op, reverse) in enumerate(((op0, reverse0), (op1, reverse1))):
        if op.name == "bypass" and reverse:
            raise ArgumentError(f"reverse{i} needs an op{i}", "nl.bypass", "Drop it.")
    given = ((op0, imm0, reverse0), (op1, imm1, reverse1))
    return [step for step in given if step[0].name != "bypass"]


def _columns(imm0: Any, imm1: Any, data: NkiTensor, used: int) -> list[NkiTensor]:
    """The tensors among the operands that are used."""
    found = [checks.scalar_or_column(f"imm{i}", imm, data) for i, imm in enumerate((imm0, imm1))]
    for i, tensors in enumerate(found):
        checks.not_packed(*((f"imm{i}", t) for t in tensors))
    if found[0] and found[1] and found[0][0].dtype != found[1][0].dtype:
        raise DtypeError(
            "imm0 and imm1 have one data type", f"{found[0][0].dtype} and {found[1][0].dtype}", "Cast one of them."
        )
    return [t for tensors in found[:used] for t in tensors]


def _slope(op: Operator, relu_param: Any, data: NkiTensor) -> list[NkiTensor]:
    if op.name == "prelu":
        return checks.scalar_or_column("relu_param", relu_param, data)
    if isinstance(relu_param, NkiTensor) or relu_param != 0.0:
        raise ArgumentError("relu_param is for nl.prelu", f"{relu_param!r} with nl.{op.name}", "Drop it.")
    return []
