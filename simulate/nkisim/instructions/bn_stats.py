# SPDX-License-Identifier: Apache-2.0
"""bn_stats: count, mean and squared deviation of the even and the odd elements of each partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_MOST = 512


@instruction(cost=CostClass.statistics, on=Engine.vector)
def bn_stats(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Operation:
    """dst[p] = (count, mean, variance * count) of the even elements of data[p], then of the odd ones.

    A partition of one element has no odd ones: their three values are 0.

    ```python
    x, stats = nl.ones((128, 512), nl.float32), nl.ndarray((128, 6), nl.float32, buffer=nl.sbuf)
    nisa.bn_stats(dst=stats, data=x)
    ```
    """
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.writable("dst", dst)
    if checks.free_size(data) > _MOST:
        raise ShapeError(
            f"data has at most {_MOST} elements a partition", f"{data.shape}", "Split it and combine with bn_aggr."
        )
    if dst.shape[0] != data.shape[0] or checks.free_size(dst) != 6:
        raise ShapeError("dst has six elements a partition of data", f"{dst.shape} for {data.shape}", "Fix its shape.")

    def compute(values: Any) -> Any:
        flat = to_float32(values).reshape(values.shape[0], -1)
        return np.concatenate([_moments(flat[:, 0::2]), _moments(flat[:, 1::2])], axis=1)

    return Operation(Engine.vector, (data,), (dst,), compute, Work(checks.free_size(data)), name=name)


def _moments(x: Any) -> Any:
    count = x.shape[1]
    if count == 0:
        return np.zeros((x.shape[0], 3), np.float32)
    mean = x.mean(axis=1, dtype=np.float32)
    deviation = np.square(x - mean[:, None]).sum(axis=1, dtype=np.float32)
    return np.stack([np.full_like(mean, count), mean, deviation], axis=1)
