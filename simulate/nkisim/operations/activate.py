# SPDX-License-Identifier: Apache-2.0
"""Activation functions of the Scalar Engine: `activation`, with or without a reduction."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, DtypeError, NotSimulated
from nkisim.memory import NkiTensor
from nkisim.operations import accumulators, alu, checks
from nkisim.operations.activation_range import check_range
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator, instead_of
from nkisim.operations.wide_integers import in_float32

_COMMANDS = (ReduceCmd.idle, ReduceCmd.reset, ReduceCmd.reduce, ReduceCmd.reset_reduce)


def activate(
    dst: NkiTensor, op: Any, data: NkiTensor, bias: Any, scale: Any, reduce: tuple[Any, Any, Any], name: str | None
) -> Operation:
    """The operation of `activation`; `reduce` is its operator, result and command."""
    op = table(op)
    if op.name == "prelu":
        raise NotSimulated("activation has an operand for the slope of nl.prelu", "none", "Use activate2's relu_param.")
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    scales = checks.scalar_or_column("scale", scale, data, "float32")
    biases = [] if bias is None else checks.scalar_or_column("bias", bias, data)
    if biases and biases[0].dtype == "tfloat32":
        raise DtypeError("bias is not tfloat32", "tfloat32", "Use float32.")
    if bias is not None and not biases:
        checks.generation(3, "a constant bias")
    reduce_op, reduce_res, command = reduce
    reduction = accumulators.plan(Engine.scalar, data, command, reduce_op, reduce_res, ("add",), _COMMANDS)
    accumulators.discardable(dst, reduction)

    def compute(values: Any, *columns: Any) -> Any:
        x = in_float32(values)
        waiting = [alu.column(to_float32(c), values) for c in columns]
        factor = waiting.pop(0) if scales else np.float32(scale)
        x = x if not scales and scale == 1.0 else x * factor
        if bias is not None:
            x = x + (waiting.pop(0) if biases else np.float32(bias))
        check_range(op, x)
        result = alu.apply(op, x, 0.0)
        return (result, *reduction.over(result))

    details = {"op": op.name} | ({} if command is ReduceCmd.idle else {"reduce_cmd": command.name})
    reads = (data, *scales, *biases)
    return reduction.operation(reads, dst, compute, details, name)


def table(op: Any) -> Operator:
    """`op`, which must be in the Scalar Engine's tables."""
    if not isinstance(op, Operator) or not op.activation:
        fix = "Use nl.silu, nl.gelu, nl.copy, ..." if isinstance(op, Operator) else instead_of(op)
        raise ArgumentError("op is an activation function", f"{op!r}", fix)
    return op
