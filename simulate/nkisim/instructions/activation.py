"""activation: op(data * scale + bias) on the Scalar Engine, with an optional reduction."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, DtypeError, NotSimulated
from nkisim.instructions import alu, checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.enums import reduce_cmd as ReduceCmd
from nkisim.instructions.operation import Operation, instruction
from nkisim.instructions.operators import Operator
from nkisim.memory import NkiTensor
from nkisim.observe import Work


@instruction
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
    """dst = op(data * scale + bias); scale and bias are numbers or one element a partition."""
    if not isinstance(op, Operator) or not op.activation:
        raise ArgumentError("op is an activation function", f"{op!r}", "Use nl.silu, nl.gelu, nl.copy, ...")
    if reduce_op is not None or reduce_res is not None or reduce_cmd is not ReduceCmd.idle:
        raise NotSimulated("activation without its reduction registers", "reduce_*", "Reduce with tensor_reduce.")
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    checks.writable("dst", dst)
    scales = checks.scalar_or_column("scale", scale, data, "float32")
    biases = [] if bias is None else checks.scalar_or_column("bias", bias, data)
    if biases and biases[0].dtype == "tfloat32":
        raise DtypeError("bias is not tfloat32", "tfloat32", "Use float32.")

    def compute(values: Any, *columns: Any) -> Any:
        x = to_float32(values)
        waiting = [alu.column(to_float32(c), values) for c in columns]
        factor = waiting.pop(0) if scales else np.float32(scale)
        x = x if not scales and scale == 1.0 else x * factor
        if bias is not None:
            x = x + (waiting.pop(0) if biases else np.float32(bias))
        return alu.apply(op, x, 0.0)

    work, details = Work(checks.free_size(dst)), {"op": op.name}
    return Operation(Engine.scalar, (data, *scales, *biases), (dst,), compute, work, details, name)
