"""activation_reduce: activation that also sums its results along the free dimensions."""

from __future__ import annotations

from typing import Any

from nkisim.instructions.activation import activate
from nkisim.instructions.enums import reduce_cmd as ReduceCmd
from nkisim.instructions.operation import Operation, instruction
from nkisim.memory import NkiTensor


@instruction
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
    """dst = op(data * scale + bias), reduce_res = sum(dst): `activation` with reduce_cmd.reset_reduce."""
    return activate(dst, op, data, bias, scale, (reduce_op, reduce_res, ReduceCmd.reset_reduce), name)
