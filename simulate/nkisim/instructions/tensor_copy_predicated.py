# SPDX-License-Identifier: Apache-2.0
"""tensor_copy_predicated: copy where a predicate holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(
    cost=CostClass.two_input_elementwise,
    on=Engine.vector,
    indirect=IndirectOperands(("dst", "predicate")),
    by_forms=True,
)
def tensor_copy_predicated(
    dst: NkiTensor,
    src: float | NkiTensor,
    predicate: NkiTensor,
    reverse_pred: bool = False,
    name: str | None = None,
) -> Operation:
    """dst = src where predicate is nonzero (zero with reverse_pred); elsewhere dst keeps its value.

    ```python
    x, mask, y = nl.ones((128, 512), nl.float32), nl.ones((128, 512), nl.uint8), nl.zeros((128, 512), nl.float32)
    nisa.tensor_copy_predicated(dst=y, src=x, predicate=mask)
    ```
    """
    checks.on_chip(("dst", dst), ("predicate", predicate))
    checks.same_tile(("dst", dst), ("predicate", predicate))
    checks.dtype_in("predicate", predicate, ("uint8", "uint16", "uint32"))
    checks.writable("dst", dst)
    sources: list[NkiTensor] = []
    if isinstance(src, NkiTensor):
        checks.on_chip(("src", src))
        checks.same_tile(("dst", dst), ("src", src))
        checks.same_dtype("dst", dst, "src", src)
        checks.not_both_in_psum("src", src, "predicate", predicate)
        sources = [src]
    else:
        checks.not_packed(("dst", dst))
        checks.whole("src", src, dst.dtype)

    def select(old: Any, condition: Any, *new: Any) -> Any:
        chosen = (condition != 0) ^ reverse_pred
        value = new[0].reshape(old.shape) if new else np.float32(src)  # type: ignore[arg-type]
        return np.where(chosen.reshape(old.shape), value, old)

    return Operation(Engine.vector, (dst, predicate, *sources), (dst,), select, Work(checks.free_size(dst)), name=name)
