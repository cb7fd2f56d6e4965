# SPDX-License-Identifier: Apache-2.0
"""range_select: keep elements whose position lies between two bounds of their partition; reduce to the maximum."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import DType, convert, to_float32
from nkisim.errors import ArgumentError, NotSimulated
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import accumulators, alu, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator, operator

FILL = float(np.finfo(np.float32).min)
_COMPARISONS = ("equal", "less", "less_equal", "greater", "greater_equal")
_COMMANDS = (ReduceCmd.idle, ReduceCmd.reset_reduce, ReduceCmd.reduce)
_EXACT = 2**24


@instruction(
    cost=CostClass.selection,
    on=Engine.vector,
    limit="reduce_cmd.reset and load_reduce, and a float8_e4m3fn dst, are refused: the reference gives neither the "
    "value loaded nor a fill value for a type without infinity",
)
def range_select(
    dst: NkiTensor,
    on_true_tile: NkiTensor,
    comp_op0: Any,
    comp_op1: Any,
    bound0: NkiTensor,
    bound1: NkiTensor,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,
    reduce_res: NkiTensor | None = None,
    reduce_op: Any = operator("maximum"),  # noqa: B008
    range_start: int = 0,
    on_false_value: float = FILL,
    name: str | None = None,
) -> Operation:
    """dst[i] = on_true_tile[i] where both comparisons of i + range_start with the bounds hold, elsewhere FP32_MIN.

    comp_op0 and comp_op1 compare with bound0 and bound1, float32 [P, 1]; on_false_value is FP32_MIN. A 16-bit or 8-bit
    dst receives -inf for it. The maximum of the fp32 results goes to the accumulator registers.

    ```python
    x, masked = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    first, end = nl.zeros((128, 1), nl.float32), nl.full((128, 1), 100.0, nl.float32)
    top = nl.ndarray((128, 1), nl.float32, buffer=nl.sbuf)
    bounds = dict(comp_op0=nl.greater_equal, bound0=first, comp_op1=nl.less, bound1=end)
    nisa.range_select(dst=masked, on_true_tile=x, **bounds, reduce_op=nl.maximum, reduce_res=top)
    ```
    """
    checks.generation(3, "range_select")
    accumulators.open_command("range_select", reduce_cmd, (ReduceCmd.reset, ReduceCmd.load_reduce))
    checks.on_chip(("dst", dst), ("on_true_tile", on_true_tile))
    checks.not_packed(("dst", dst))
    checks.dtype_in("on_true_tile", on_true_tile, accumulators.FLOATS)
    checks.same_tile(("on_true_tile", on_true_tile), ("dst", dst))
    _check_comparisons(comp_op0, comp_op1, on_false_value)
    for operand, bound in (("bound0", bound0), ("bound1", bound1)):
        checks.tensor(bound, operand)
        checks.scalar_or_column(operand, bound, on_true_tile, "float32")
    count = checks.free_size(on_true_tile)
    if not isinstance(range_start, int) or abs(range_start) + count > _EXACT:
        raise ArgumentError(
            "positions stay within 2**24, where fp32 is exact", f"{range_start!r} + {count}", "Rebase the bounds."
        )
    if dst.dtype == "float8_e4m3fn":
        raise NotSimulated("range_select fills with -inf, which dst's type has", "float8_e4m3fn", "Use bfloat16.")
    reduction = accumulators.plan(
        Engine.vector, on_true_tile, reduce_cmd, reduce_op, reduce_res, ("maximum",), _COMMANDS
    )
    accumulators.discardable(dst, reduction)

    def compute(values: Any, low: Any, high: Any) -> Any:
        position = np.arange(range_start, range_start + count, dtype=np.float32)[None, :]
        chosen = (alu.apply(comp_op0, position, low.reshape(-1, 1)) != 0) & (
            alu.apply(comp_op1, position, high.reshape(-1, 1)) != 0
        )
        result = np.where(chosen, to_float32(values).reshape(chosen.shape), np.float32(FILL))
        return (_filled(result, chosen, dst.dtype), *reduction.over(result))

    details = {"ops": (comp_op0.name, comp_op1.name), "reduce_cmd": reduce_cmd.name}
    reads = (on_true_tile, bound0, bound1)
    return reduction.operation(reads, dst, compute, details, name)


def _filled(result: Any, chosen: Any, dtype: DType) -> Any:
    """The results in dst's type; fp8 would saturate where the hardware is documented to give -inf."""
    if dtype.kind != "float" or dtype.itemsize > 1:
        return result
    converted = convert(result, dtype)
    converted[~chosen] = dtype.numpy.type(-np.inf)
    return converted


def _check_comparisons(comp_op0: Any, comp_op1: Any, on_false_value: Any) -> None:
    for operand, op in (("comp_op0", comp_op0), ("comp_op1", comp_op1)):
        if not isinstance(op, Operator) or op.name not in _COMPARISONS:
            raise ArgumentError(f"{operand} is one of {', '.join(_COMPARISONS)}", f"{op!r}", "Use nl.less, ...")
    if isinstance(on_false_value, NkiTensor) or np.float32(on_false_value) != np.float32(FILL):
        raise ArgumentError("on_false_value is FP32_MIN, -3.4028235e+38", f"{on_false_value!r}", "Use affine_select.")
