# SPDX-License-Identifier: Apache-2.0
"""bn_aggr: mean and variance from the outputs of bn_stats."""

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


@instruction(cost=CostClass.statistics_merge, on=Engine.vector)
def bn_aggr(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Operation:
    """dst[p] = (mean, variance) of the elements that the tuples (count, mean, variance * count) of data[p] describe.

    ```python
    x, stats = nl.ones((128, 512), nl.float32), nl.ndarray((128, 6), nl.float32, buffer=nl.sbuf)
    moments = nl.ndarray((128, 2), nl.float32, buffer=nl.sbuf)
    nisa.bn_stats(dst=stats, data=x)
    nisa.bn_aggr(dst=moments, data=stats)  # mean and variance
    ```
    """
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.writable("dst", dst)
    if checks.free_size(data) % 3:
        raise ShapeError("data is tuples of three a partition", f"{data.shape}", "Pass outputs of bn_stats.")
    if dst.shape[0] != data.shape[0] or checks.free_size(dst) != 2:
        raise ShapeError("dst has two elements a partition of data", f"{dst.shape} for {data.shape}", "Fix its shape.")

    def compute(values: Any) -> Any:
        count, mean, deviation = np.moveaxis(to_float32(values).reshape(values.shape[0], -1, 3), 2, 0)
        total = count.sum(axis=1)
        center = (count * mean).sum(axis=1) / total
        spread = deviation.sum(axis=1) + (count * np.square(mean - center[:, None])).sum(axis=1)
        return np.stack([center, spread / total], axis=1)

    return Operation(Engine.vector, (data,), (dst,), compute, Work(checks.free_size(data)), name=name)
