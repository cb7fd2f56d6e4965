# SPDX-License-Identifier: Apache-2.0
"""tensor_scalar_cumulative: an operation with a scalar, then a running reduction."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import accumulators, alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator

_COMMANDS = (ReduceCmd.reset_reduce, ReduceCmd.reduce, ReduceCmd.load_reduce)
_RUNNING = ("add", "subtract", "multiply", "maximum", "minimum")
_DTYPES = (
    "bfloat16", "float16", "float32", "float8_e4m3", "float8_e4m3fn", "float8_e5m2", "uint8", "uint16", "int8", "int16",
)  # fmt: skip


@instruction(cost=CostClass.scan, on=Engine.vector, indirect=IndirectOperands(("dst", "src")))
def tensor_scalar_cumulative(
    dst: NkiTensor,
    src: NkiTensor,
    op0: Any,
    op1: Any,
    imm0: Any,
    imm1: Any = None,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,
    name: str | None = None,
) -> Operation:
    """dst[i] = (src[i] <op0> imm0) <op1> dst[i-1], in fp32; the accumulator registers hold what comes before dst[0].

    imm0 is a number or a float32 [P, 1] tile; so is imm1, which load_reduce starts from.

    ```python
    x, sums = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar_cumulative(dst=sums, src=x, op0=nl.multiply, op1=nl.add, imm0=1.0)
    ```
    """
    first = alu.alu_operator(op0, 2, "op0")
    if first.bitwise:
        raise ArgumentError("op0 is an arithmetic operator", f"{first!r}", "Use tensor_scalar for bit operations.")
    checks.on_chip(("dst", dst), ("src", src))
    checks.same_tile(("src", src), ("dst", dst))
    checks.dtype_in("dst", dst, _DTYPES)
    checks.dtype_in("src", src, _DTYPES)
    checks.writable("dst", dst)
    columns = checks.scalar_or_column("imm0", imm0, src, "float32")
    starts = accumulators.initial_value(reduce_cmd, imm1, src, "imm1", None)
    reduction = accumulators.plan(Engine.vector, src, reduce_cmd, op1, None, _RUNNING, _COMMANDS)

    def compute(values: Any, *scalars: Any) -> Any:
        waiting = list(scalars)
        steps = alu.apply(first, to_float32(values), accumulators.column_or_number(imm0, waiting, values))
        before = reduction.start(waiting.pop(0) if starts else imm1)
        result = _running(op1, before, steps.reshape(steps.shape[0], -1))
        reduction.keep(result[:, -1])
        return result

    details = {"ops": (first.name, op1.name), "reduce_cmd": reduce_cmd.name}
    reads = (src, *columns, *starts)
    return Operation(
        Engine.vector, reads, (dst,), compute, Work(checks.free_size(dst)), details, name, hidden_input=True
    )


def _running(op: Operator, before: Any, steps: Any) -> Any:
    """steps[0] <op> before, steps[1] <op> that, ..."""
    if op.name != "subtract" and isinstance(op.function, np.ufunc):  # these commute
        return op.function.accumulate(np.concatenate([before[:, None], steps], axis=1), axis=1)[:, 1:]
    result = np.empty_like(steps)
    for i in range(steps.shape[1]):
        before = result[:, i] = steps[:, i] - before
    return result
