# SPDX-License-Identifier: Apache-2.0
"""nc_n_gather: gather elements within each partition on GpSimd."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.gather_indices import check_indices
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.gather, on=Engine.gpsimd)
def nc_n_gather(dst: NkiTensor, data: NkiTensor, indices: NkiTensor, name: str | None = None) -> Operation:
    """dst[p, i] = data[p, indices[p, i]], over flattened free dimensions.

    ```python
    x, index = nl.ones((128, 512), nl.float32), nl.zeros((128, 16), nl.uint32)
    picked = nl.ndarray((128, 16), nl.float32, buffer=nl.sbuf)
    nisa.nc_n_gather(dst=picked, data=x, indices=index)
    ```
    """
    checks.in_sbuf(("dst", dst), ("data", data), ("indices", indices))
    checks.same_dtype("dst", dst, "data", data)
    checks.dtype_in("indices", indices, ("uint32",))
    checks.same_tile(("indices", indices), ("dst", dst))
    if data.shape[0] != indices.shape[0]:
        raise ShapeError(
            "data and indices have the same partitions", f"{data.shape} and {indices.shape}", "Slice one of them."
        )
    checks.writable("dst", dst)
    count = checks.free_size(data)

    def compute(values: Any, index: Any) -> Any:
        where = index.reshape(index.shape[0], -1).astype(np.int64)
        check_indices(where, count)
        return np.take_along_axis(values.reshape(values.shape[0], -1), where, axis=1)

    return Operation(Engine.gpsimd, (data, indices), (dst,), compute, Work(checks.free_size(dst)), name=name)
