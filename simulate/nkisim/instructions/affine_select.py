# SPDX-License-Identifier: Apache-2.0
"""affine_select: keep elements where an affine function of their position compares as asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.affine_pattern import affine_values
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator, operator

COMPARISONS = ("equal", "not_equal", "greater_equal", "greater", "less_equal", "less")


@instruction(cost=CostClass.selection, on=Engine.gpsimd)
def affine_select(
    dst: NkiTensor,
    pattern: list[list[int]],
    channel_multiplier: int,
    on_true_tile: NkiTensor,
    on_false_value: float,
    cmp_op: Any = operator("equal"),  # noqa: B008
    offset: int = 0,
    name: str | None = None,
) -> Operation:
    """dst = on_true_tile where `cmp_op(affine value, 0)`, elsewhere on_false_value; affine values are those of iota.

    With pattern [[w_step, W], ...], the steps and sizes of the free dimensions, the affine value is offset + p *
    channel_multiplier + w * w_step + ...; on_false_value is a number.

    ```python
    scores, masked = nl.ones((128, 128), nl.float32), nl.ndarray((128, 128), nl.float32, buffer=nl.sbuf)
    nisa.affine_select(  # row >= column stays: a causal mask
        dst=masked, pattern=[[-1, 128]], channel_multiplier=1, on_true_tile=scores, on_false_value=-1e9,
        cmp_op=nl.greater_equal,
    )
    ```
    """
    checks.in_sbuf(("dst", dst), ("on_true_tile", on_true_tile))
    checks.not_packed(("dst", dst), ("on_true_tile", on_true_tile))
    checks.same_tile(("dst", dst), ("on_true_tile", on_true_tile))
    checks.writable("dst", dst)
    if not isinstance(cmp_op, Operator) or cmp_op.name not in COMPARISONS:
        raise ArgumentError(f"cmp_op is one of {', '.join(COMPARISONS)}", f"{cmp_op!r}", "Use nl.greater_equal, ...")
    if isinstance(on_false_value, bool) or not isinstance(on_false_value, (int, float, np.number)):
        raise ArgumentError("on_false_value is a number", f"{on_false_value!r}", "Pass a float.")
    affine = affine_values(pattern, offset, channel_multiplier, dst)
    chosen = (cmp_op.function(affine, np.int32(0)) != 0).reshape(dst.shape)

    def select(values: Any) -> Any:
        result = values if on_true_tile.dtype == dst.dtype else to_float32(values)
        return np.where(chosen, result.reshape(dst.shape), np.float32(on_false_value))

    work, details = Work(checks.free_size(dst)), {"op": cmp_op.name}
    return Operation(Engine.gpsimd, (on_true_tile,), (dst,), select, work, details, name)
