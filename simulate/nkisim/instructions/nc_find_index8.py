# SPDX-License-Identifier: Apache-2.0
"""nc_find_index8: where eight values of each partition occur."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.eight_at_a_time import eight_of, eight_values, locate
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.search, on=Engine.vector)
def nc_find_index8(dst: NkiTensor, data: NkiTensor, vals: NkiTensor, name: str | None = None) -> Operation:
    """dst[p, j] = position of vals[p, j] in data[p]: equal values get successive positions, absent ones all ones.

    ```python
    x, top = nl.ones((128, 512), nl.float32), nl.ndarray((128, 8), nl.float32, buffer=nl.sbuf)
    where = nl.ndarray((128, 8), nl.uint32, buffer=nl.sbuf)
    nisa.max8(dst=top, src=x)
    nisa.nc_find_index8(dst=where, data=x, vals=top)
    ```
    """
    named = (("dst", dst), ("data", data), ("vals", vals))
    checks.on_chip(*named)
    checks.not_packed(*named)
    checks.writable("dst", dst)
    eight_of(data, "data")
    eight_values(vals, data)
    checks.dtype_in("dst", dst, ("uint16", "uint32"))
    if dst.ndim != 2 or dst.shape != (data.shape[0], 8):
        raise ShapeError("dst is [partitions of data, 8]", f"{dst.shape} for {data.shape}", "Fix dst's shape.")
    absent = np.iinfo(dst.dtype.numpy).max

    def compute(values: Any, wanted: Any) -> Any:
        positions, found = locate(values, wanted, range(8))
        return np.where(found, positions, absent).astype(dst.dtype.numpy)

    return Operation(Engine.vector, (data, vals), (dst,), compute, Work(checks.free_size(data)), name=name)
