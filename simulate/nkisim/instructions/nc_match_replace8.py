# SPDX-License-Identifier: Apache-2.0
"""nc_match_replace8: replace the first occurrence of eight values in each partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, NotSimulated, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.eight_at_a_time import eight_values, locate
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(
    cost=CostClass.search,
    on=Engine.vector,
    limit="dst_idx for a value that does not occur is refused: what it receives is not documented",
)
def nc_match_replace8(
    dst: NkiTensor,
    data: NkiTensor,
    vals: NkiTensor,
    imm: float,
    dst_idx: NkiTensor | None = None,
    name: str | None = None,
) -> Operation:
    """dst = data with one occurrence of each of vals replaced by imm; dst_idx receives where they were.

    Equal values take successive positions, the last of them the first position.

    ```python
    x, top = nl.ones((128, 512), nl.float32), nl.ndarray((128, 8), nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=top, src=x)
    nisa.nc_match_replace8(dst=x, data=x, vals=top, imm=-1e9)  # the next max8 finds the 9th to 16th
    ```
    """
    named = (("dst", dst), ("data", data), ("vals", vals))
    checks.on_chip(*named)
    checks.not_packed(*named)
    checks.same_tile(("data", data), ("dst", dst))
    checks.writable("dst", dst)
    eight_values(vals, data)
    if not isinstance(imm, (int, float, np.number)):
        raise ArgumentError("imm is a number", f"{imm!r}", "Pass a float.")
    if dst_idx is not None:
        checks.on_chip(("dst_idx", dst_idx))
        checks.dtype_in("dst_idx", dst_idx, ("uint16", "uint32"))
        checks.writable("dst_idx", dst_idx)
        if dst_idx.shape[0] != data.shape[0] or checks.free_size(dst_idx) != 8:
            raise ShapeError("dst_idx has eight elements a partition", f"{dst_idx.shape}", "Fix its shape.")

    def compute(values: Any, wanted: Any) -> Any:
        positions, found = locate(values, wanted, range(7, -1, -1))
        if dst_idx is not None and not found.all():
            p, j = np.argwhere(~found)[0]
            raise NotSimulated(
                "dst_idx is documented for values that occur in data",
                f"vals[{p}, {j}] has no occurrence left",
                "Use nc_find_index8, which marks absent values.",
            )
        flat = (values if data.dtype == dst.dtype else to_float32(values)).reshape(values.shape[0], -1)
        replaced = np.zeros(flat.shape, np.bool_)
        rows = np.broadcast_to(np.arange(len(flat))[:, None], positions.shape)
        replaced[rows[found], positions[found]] = True
        result = np.where(replaced, np.float32(imm), flat)
        return result if dst_idx is None else (result, positions.astype(dst_idx.dtype.numpy))

    writes = (dst,) if dst_idx is None else (dst, dst_idx)
    return Operation(Engine.vector, (data, vals), writes, compute, Work(checks.free_size(data)), name=name)
