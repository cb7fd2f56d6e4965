# SPDX-License-Identifier: Apache-2.0
"""select_reduce: choose between a tile and a scalar by a predicate; reduce to the maximum."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, DtypeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import accumulators, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import reduce_cmd as ReduceCmd
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator, operator

_COMMANDS = (ReduceCmd.idle, ReduceCmd.reset_reduce, ReduceCmd.reduce)


@instruction(cost=CostClass.selection, on=Engine.vector)
def select_reduce(
    dst: NkiTensor,
    predicate: NkiTensor,
    on_true: NkiTensor,
    on_false: Any,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    reduce_op: Any = operator("maximum"),  # noqa: B008
    reverse_pred: bool = False,
    name: str | None = None,
) -> Operation:
    """dst = on_true where predicate is nonzero (zero with reverse_pred), elsewhere on_false; through fp32.

    ```python
    x, mask = nl.ones((128, 512), nl.float32), nl.ones((128, 512), nl.uint8)
    chosen = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.select_reduce(dst=chosen, predicate=mask, on_true=x, on_false=-1e9)
    ```
    """
    named = (("dst", dst), ("predicate", predicate), ("on_true", on_true))
    checks.on_chip(*named)
    checks.not_packed(*named)
    checks.same_tile(*named)
    checks.dtype_in("predicate", predicate, ("int8", "uint8", "int16", "uint16"))
    if on_true.dtype in ("tfloat32", "int32", "uint32"):
        raise DtypeError("on_true is not tfloat32, int32 or uint32", f"{on_true.dtype}", "Cast it with tensor_copy.")
    checks.not_both_in_psum("on_true", on_true, "predicate", predicate)
    columns = checks.scalar_or_column("on_false", on_false, on_true)
    checks.not_packed(*(("on_false", c) for c in columns))
    if reduce_res is not None:
        checks.dtype_in("reduce_res", reduce_res, accumulators.FLOATS)
    if not isinstance(reduce_op, Operator) or reduce_op.name != "maximum":
        raise ArgumentError("reduce_op is nl.maximum", f"{reduce_op!r}", "Use tensor_reduce for other reductions.")
    reduction = accumulators.plan(Engine.vector, on_true, reduce_cmd, reduce_op, reduce_res, ("maximum",), _COMMANDS)
    accumulators.discardable(dst, reduction)

    def compute(condition: Any, values: Any, *scalar: Any) -> Any:
        chosen = ((condition != 0) ^ reverse_pred).reshape(values.shape)
        other = accumulators.column_or_number(on_false, list(scalar), values)
        result = np.where(chosen, to_float32(values), other)
        return (result, *reduction.over(result))

    details = {"reduce_cmd": reduce_cmd.name}
    reads = (predicate, on_true, *columns)
    return reduction.operation(reads, dst, compute, details, name)
