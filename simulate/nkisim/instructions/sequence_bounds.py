# SPDX-License-Identifier: Apache-2.0
"""sequence_bounds: where the segment of each element begins and ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_DTYPES = ("float32", "int32")


@instruction(cost=CostClass.search, on=Engine.gpsimd)
def sequence_bounds(dst: NkiTensor, segment_ids: NkiTensor, name: str | None = None) -> Operation:
    """dst[0, 0, i], dst[0, 1, i] = first position and end (exclusive) of i's run of equal ids; n and -1 for id 0.

    segment_ids [1, n] holds integers from 0 on, as float32 or int32; dst is [1, 2, n].

    ```python
    ids, bounds = nl.ones((1, 512), nl.float32), nl.ndarray((1, 2, 512), nl.float32, buffer=nl.sbuf)
    nisa.sequence_bounds(dst=bounds, segment_ids=ids)
    ```
    """
    checks.in_sbuf(("dst", dst), ("segment_ids", segment_ids))
    checks.dtype_in("dst", dst, _DTYPES)
    checks.dtype_in("segment_ids", segment_ids, _DTYPES)
    checks.writable("dst", dst)
    count = checks.free_size(segment_ids)
    if segment_ids.shape[0] != 1 or dst.shape[0] != 1 or checks.free_size(dst) != 2 * count:
        raise ShapeError(
            "segment_ids is [1, n] and dst [1, 2, n]", f"{segment_ids.shape} and {dst.shape}", "Fix the shapes."
        )

    def compute(values: Any) -> Any:
        ids = values.reshape(-1)
        bad = np.flatnonzero((ids < 0) | (ids != np.rint(ids)))
        if bad.size:
            raise ArgumentError(
                "segment ids are non-negative integers", f"{ids[bad[0]]} at {bad[0]}", "Fix segment_ids."
            )
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        ends = np.append(starts[1:], count)
        lengths = ends - starts
        first, last = np.repeat(starts, lengths), np.repeat(ends, lengths)
        return np.stack([np.where(ids == 0, count, first), np.where(ids == 0, -1, last)]).astype(np.float32)

    return Operation(Engine.gpsimd, (segment_ids,), (dst,), compute, Work(count), name=name)
