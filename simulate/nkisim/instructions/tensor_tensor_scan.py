# SPDX-License-Identifier: Apache-2.0
"""tensor_tensor_scan: a running operation over two tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.two_input_scan, on=Engine.vector)
def tensor_tensor_scan(
    dst: NkiTensor,
    data0: NkiTensor,
    data1: NkiTensor,
    initial: Any,
    op0: Any,
    op1: Any,
    reverse0: bool = False,
    reverse1: bool = False,
    name: str | None = None,
) -> Operation:
    """dst[i] = (data0[i] <op0> dst[i-1]) <op1> data1[i], with fp32 state; dst[-1] is `initial`.

    ```python
    decay, x = nl.full((128, 512), 0.9, nl.float32), nl.ones((128, 512), nl.float32)
    state = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor_scan(dst=state, data0=decay, data1=x, initial=0.0, op0=nl.multiply, op1=nl.add)
    ```
    """
    first, second = alu.alu_operator(op0, 2, "op0"), alu.alu_operator(op1, 2, "op1")
    if first.bitwise or second.bitwise:
        raise ArgumentError("tensor_tensor_scan is arithmetic", f"{first!r}, {second!r}", "Use arithmetic operators.")
    checks.two_inputs(dst, ("data0", data0), ("data1", data1))
    columns = checks.scalar_or_column("initial", initial, data0)
    checks.not_packed(*(("initial", c) for c in columns))
    rows = data0.shape[0]

    def compute(a: Any, b: Any, *start: Any) -> Any:
        left = np.ascontiguousarray(to_float32(a).reshape(rows, -1).T)
        right = np.ascontiguousarray(to_float32(b).reshape(rows, -1).T)
        state = to_float32(start[0]).reshape(rows) if start else np.full(rows, initial, np.float32)
        result = np.empty_like(left)
        for i in range(len(left)):
            middle = alu.apply(first, state, left[i]) if reverse0 else alu.apply(first, left[i], state)
            state = alu.apply(second, right[i], middle) if reverse1 else alu.apply(second, middle, right[i])
            result[i] = state
        return result.T

    details = {"ops": (first.name, second.name)}
    reads = (data0, data1, *columns)
    return Operation(Engine.vector, reads, (dst,), compute, Work(checks.free_size(dst)), details, name)
