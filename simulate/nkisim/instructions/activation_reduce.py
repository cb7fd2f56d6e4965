# SPDX-License-Identifier: Apache-2.0
"""activation_reduce: activation that also sums its results along the free dimensions."""

from __future__ import annotations

from typing import Any

from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations.activate import activate
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.activation_reduction, on=Engine.scalar, indirect=IndirectOperands(("dst", "data")))
def activation_reduce(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    reduce_op: Any,
    reduce_res: NkiTensor | None,
    bias: Any = None,
    scale: Any = 1.0,
    name: str | None = None,
) -> Operation:
    """dst = op(data * scale + bias), reduce_res = sum(dst): `activation` with reduce_cmd.reset_reduce.

    ```python
    x, total = nl.ones((128, 512), nl.float32), nl.ndarray((128, 1), nl.float32, buffer=nl.sbuf)
    y = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(dst=y, op=nl.square, data=x, reduce_op=nl.add, reduce_res=total)
    ```
    """
    return activate(dst, op, data, bias, scale, (reduce_op, reduce_res, ReduceCmd.reset_reduce), name)
