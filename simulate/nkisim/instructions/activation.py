# SPDX-License-Identifier: Apache-2.0
"""activation: op(data * scale + bias) on the Scalar Engine, with an optional reduction."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations.activate import activate
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(
    cost=CostClass.activation,
    on=Engine.scalar,
    indirect=IndirectOperands(("dst", "data")),
    limit="nl.prelu is refused: there is no operand for its slope",
    by_forms=True,
)
def activation(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    bias: Any = None,
    scale: Any = 1.0,
    reduce_op: Any = None,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    name: str | None = None,
) -> Operation:
    """dst = op(data * scale + bias); scale and bias are numbers or one element a partition.

    The results may also be summed along the free dimensions into the Scalar Engine's accumulator registers, which live
    on until the next instruction that changes them; reduce_res receives the registers.

    ```python
    x = nl.ones((128, 512), nl.float32)
    y = nl.ndarray((128, 512), nl.bfloat16, buffer=nl.sbuf)
    nisa.activation(dst=y, op=nl.silu, data=x, scale=0.5)  # silu(x / 2), rounded to bf16
    ```
    """
    if reduce_op is not None and reduce_cmd is ReduceCmd.idle:
        raise ArgumentError(
            "reduce_op needs a reduce_cmd that reduces", f"{reduce_op!r} with reduce_cmd.idle", "Use reset_reduce."
        )
    return activate(dst, op, data, bias, scale, (reduce_op, reduce_res, reduce_cmd), name)
