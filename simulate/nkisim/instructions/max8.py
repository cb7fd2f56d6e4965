# SPDX-License-Identifier: Apache-2.0
"""max8: the eight largest values of each partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.eight_at_a_time import eight_of
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.search, on=Engine.vector)
def max8(dst: NkiTensor, src: NkiTensor, name: str | None = None) -> Operation:
    """dst[p] = the eight largest values of src[p], the largest first.

    ```python
    x, top = nl.ones((128, 512), nl.float32), nl.ndarray((128, 8), nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=top, src=x)
    ```
    """
    checks.on_chip(("dst", dst), ("src", src))
    checks.not_packed(("dst", dst), ("src", src))
    checks.writable("dst", dst)
    eight_of(src, "src")
    if dst.ndim != 2 or dst.shape != (src.shape[0], 8):
        raise ShapeError("dst is [partitions of src, 8]", f"{dst.shape} for {src.shape}", "Fix dst's shape.")

    def compute(values: Any) -> Any:
        flat = to_float32(values).reshape(values.shape[0], -1)
        top = np.partition(flat, flat.shape[1] - 8, axis=1)[:, -8:]
        return np.sort(top, axis=1)[:, ::-1]

    return Operation(Engine.vector, (src,), (dst,), compute, Work(checks.free_size(src)), name=name)
