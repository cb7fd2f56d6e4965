# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the compute engines: fp32 inside, or raw integers for bit operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import Array
from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.operations import checks
from nkisim.operations.operators import Operator, instead_of
from nkisim.operations.wide_integers import in_float32


def alu_operator(op: Any, arity: int | None = None, argument: str = "op") -> Operator:
    """`op`, which must be one the ALU has.

    Raises:
        ArgumentError: it is not an operator, or takes another number of operands.
        TargetError: the target is older than it.
    """
    if not isinstance(op, Operator) or not op.alu or (arity is not None and op.arity != arity):
        kind = {1: "unary ", 2: "binary "}.get(arity or 0, "")
        raise ArgumentError(f"{argument} is a {kind}ALU operator", f"{op!r}", instead_of(op))
    checks.generation(op.since, repr(op))
    return op


def apply(op: Operator, left: Array, right: Array | float) -> Array:
    """`left <op> right`, as the ALU computes it."""
    return op.function(left) if op.arity == 1 else op.function(left, right)


def operands(op: Operator, *values: Array) -> list[Array]:
    """Inputs in the type the ALU works in."""
    return list(values) if op.bitwise else [in_float32(v) for v in values]


def column(values: Array, like: Array) -> Array:
    """A [P, 1...] operand shaped to broadcast over a tile's free dimensions."""
    return values.reshape(values.shape[0], *([1] * (like.ndim - 1)))


def check_bits(op: Operator, name: str, operand: Any, data: NkiTensor) -> None:
    """The operand of a bit operation: an integer that fits the data, or an integer tile."""
    if not op.bitwise:
        return
    if isinstance(operand, NkiTensor):
        checks.integer_only(name, operand.dtype)
        return
    limits = np.iinfo(data.dtype.numpy)
    if not isinstance(operand, (int, np.integer)) or not limits.min <= operand <= limits.max:
        raise ArgumentError(f"{name} of a bitwise operation is an integer of {data.dtype}", f"{operand!r}", "Cast it.")


def check_bitwise(op: Operator, **tensors: NkiTensor) -> None:
    """Bit operations need integer tiles."""
    if op.bitwise:
        for operand, t in tensors.items():
            checks.integer_only(operand, t.dtype)
