# SPDX-License-Identifier: Apache-2.0
"""scalar_tensor_tensor: an operation with a scalar, then one with a tile."""

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


@instruction(cost=CostClass.two_input_elementwise, on=Engine.vector, by_forms=True)
def scalar_tensor_tensor(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Any,
    operand0: Any,
    op1: Any,
    operand1: NkiTensor,
    reverse0: bool = False,
    reverse1: bool = False,
    name: str | None = None,
) -> Operation:
    """dst = (data <op0> operand0) <op1> operand1, where operand1 is a tile.

    ```python
    x, residual = nl.ones((128, 512), nl.float32), nl.ones((128, 512), nl.float32)
    y = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(dst=y, data=x, op0=nl.multiply, operand0=0.5, op1=nl.add, operand1=residual)
    ```
    """
    first, second = alu.alu_operator(op0, 2, "op0"), alu.alu_operator(op1, 2, "op1")
    if first.bitwise or second.bitwise:
        raise ArgumentError(
            "scalar_tensor_tensor is arithmetic",
            f"{first!r}, {second!r}",
            "Use tensor_scalar for bit operations.",
        )
    checks.two_inputs(dst, ("data", data), ("operand1", operand1))
    columns = checks.scalar_or_column("operand0", operand0, data)

    def compute(values: Any, tile: Any, *scalar: Any) -> Any:
        left = to_float32(values)
        right = alu.column(to_float32(scalar[0]), values) if scalar else np.asarray(operand0, np.float32)
        middle = alu.apply(first, right, left) if reverse0 else alu.apply(first, left, right)
        other = to_float32(tile).reshape(middle.shape)
        return alu.apply(second, other, middle) if reverse1 else alu.apply(second, middle, other)

    details = {"ops": (first.name, second.name)}
    reads = (data, operand1, *columns)
    return Operation(Engine.vector, reads, (dst,), compute, Work(checks.free_size(dst)), details, name)
