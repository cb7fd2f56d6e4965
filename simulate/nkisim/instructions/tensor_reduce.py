# SPDX-License-Identifier: Apache-2.0
"""tensor_reduce: reduce the trailing free dimensions of a tile."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.wide_integers import check_result


@instruction(cost=CostClass.reduction, on=Engine.vector, indirect=IndirectOperands(("dst", "data")), by_forms=True)
def tensor_reduce(
    dst: NkiTensor,
    op: Any,
    data: NkiTensor,
    axis: int | tuple[int, ...] | list[int],
    negate: bool = False,
    keepdims: bool = False,
    name: str | None = None,
) -> Operation:
    """dst = reduce(data, axis), with its sign changed by `negate`; axis names the last free dimensions.

    op is an operator of two operands that reduces: add, multiply, maximum, ... keepdims has no effect: dst has as many
    elements as are left, in any shape.

    ```python
    x, total = nl.ones((128, 512), nl.float32), nl.ndarray((128, 1), nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=total, op=nl.add, data=x, axis=1)
    ```
    """
    op = alu.alu_operator(op, arity=2)
    if not op.reducible:
        raise ArgumentError("op is a reduction", f"{op!r}", "Use add, subtract, multiply, maximum, minimum or bit ops.")
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.writable("dst", dst)
    axes = _trailing_axes(axis, data)
    alu.check_bitwise(op, dst=dst, data=data)
    if negate and op.bitwise:
        raise ArgumentError("negate is for arithmetic reductions", f"negate with {op!r}", "Drop negate.")
    kept = int(np.prod([n for i, n in enumerate(data.shape) if i not in axes[1:] and i != axes[0]]))
    if dst.shape[0] != data.shape[0] or dst.size != kept:
        raise ShapeError(
            "dst holds one element for each one left by the reduction",
            f"{dst.shape} for {data.shape} reduced over {tuple(axes)}",
            "Give dst the shape of data without the reduced dimensions.",
        )

    def compute(values: Any) -> Any:
        (x,) = alu.operands(op, values)
        flat = x.reshape(*x.shape[: axes[0]], -1)
        with np.errstate(all="ignore"):
            result = op.function.reduce(flat, axis=-1) if isinstance(op.function, np.ufunc) else _fold(op, flat)
        return check_result(values, -result if negate else result)

    return Operation(Engine.vector, (data,), (dst,), compute, Work(checks.free_size(data)), {"op": op.name}, name)


def _fold(op: Any, values: Any) -> Any:
    """Logical operators, which reduce truth values."""
    result = (values[..., 0] != 0).astype(np.float32)
    for i in range(1, values.shape[-1]):
        result = op.function(result, values[..., i])
    return result


def _trailing_axes(axis: int | tuple[int, ...] | list[int], data: NkiTensor) -> list[int]:
    given = [axis] if isinstance(axis, int) else list(axis)
    axes = sorted(a + data.ndim if a < 0 else a for a in given)
    if not axes or axes[0] < 1 or axes != list(range(axes[0], data.ndim)):
        raise ShapeError(
            "the reduced dimensions are the last free ones",
            f"axis {axis} of shape {data.shape}",
            "Permute the view.",
        )
    return axes
