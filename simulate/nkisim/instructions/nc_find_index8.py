"""nc_find_index8: where eight values of each partition occur."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ShapeError
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.max8 import eight_of, eight_values
from nkisim.instructions.operation import Operation, instruction
from nkisim.memory import NkiTensor
from nkisim.observe import Work


@instruction
def nc_find_index8(dst: NkiTensor, data: NkiTensor, vals: NkiTensor, name: str | None = None) -> Operation:
    """dst[p, j] = position of vals[p, j] in data[p]: equal values get successive positions, absent ones all ones."""
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


def locate(data: Any, vals: Any, order: range) -> tuple[Any, Any]:
    """Positions of the values, each taken by at most one of them, in the given order; and whether there is one."""
    flat, wanted = (to_float32(x).reshape(x.shape[0], -1) for x in (data, vals))
    free = np.ones(flat.shape, np.bool_)
    rows = np.arange(len(flat))
    positions, found = np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, np.bool_)
    for j in order:
        hits = (flat == wanted[:, j : j + 1]) & free
        positions[:, j] = hits.argmax(axis=1)
        found[:, j] = hits[rows, positions[:, j]]
        free[rows[found[:, j]], positions[found[:, j], j]] = False
    return positions, found
