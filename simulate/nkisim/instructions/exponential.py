# SPDX-License-Identifier: Apache-2.0
"""exponential: exp(src - max_value) on the Vector Engine, with an optional running sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import accumulators, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import operator

_FLOATS = ("float8_e4m3", "float8_e5m2", "float16", "bfloat16", "float32")
_INTEGERS = ("int8", "int16", "int32", "uint8", "uint16")
_COMMANDS = (ReduceCmd.idle, ReduceCmd.reset_reduce, ReduceCmd.reduce, ReduceCmd.load_reduce)


@instruction(cost=CostClass.exponential, on=Engine.vector, indirect=IndirectOperands(("dst", "src")))
def exponential(
    dst: NkiTensor,
    src: NkiTensor,
    max_value: Any = 0.0,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    reduce_init: Any = 0.0,
    name: str | None = None,
) -> Operation:
    """dst = exp(src - max_value), on NeuronCore-v4; the fp32 results may be summed into the accumulator registers.

    ```python
    x, y = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.bfloat16, buffer=nl.sbuf)
    nisa.exponential(dst=y, src=x, max_value=1.0)
    ```
    """
    checks.generation(4, "exponential")
    checks.on_chip(("dst", dst), ("src", src))
    checks.same_tile(("src", src), ("dst", dst))
    checks.dtype_in("src", src, (*_FLOATS, *_INTEGERS, "uint32"))
    checks.dtype_in("dst", dst, (*_FLOATS, "tfloat32", *_INTEGERS))
    for operand, t in (("src", src), ("dst", dst)):
        if t.ndim > 4:
            raise ShapeError(f"{operand} has at most four dimensions", f"{t.shape}", "Merge some of them.")
    if reduce_res is not None:
        checks.dtype_in("reduce_res", reduce_res, (*_FLOATS, "tfloat32"))
    shifts = checks.scalar_or_column("max_value", max_value, src, "float32")
    starts = accumulators.initial_value(reduce_cmd, reduce_init, src, "reduce_init", 0.0)
    op = None if reduce_cmd is ReduceCmd.idle else operator("add")
    reduction = accumulators.plan(Engine.vector, src, reduce_cmd, op, reduce_res, ("add",), _COMMANDS)
    accumulators.discardable(dst, reduction)

    def compute(values: Any, *columns: Any) -> Any:
        waiting = list(columns)
        shift = accumulators.column_or_number(max_value, waiting, values)
        result = np.exp(to_float32(values) - shift)
        return (result, *reduction.over(result, waiting.pop(0) if starts else reduce_init))

    reads = (src, *shifts, *starts)
    details = {"reduce_cmd": reduce_cmd.name}
    return reduction.operation(reads, dst, compute, details, name)
