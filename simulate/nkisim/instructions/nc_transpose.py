# SPDX-License-Identifier: Apache-2.0
"""nc_transpose: swap the partition and free dimensions of a tile on the Tensor or Vector Engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ShapeError
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.remembered import remembered

_LIMIT = {Engine.tensor: 128, Engine.vector: 32}
_ON_THE_PE = ", or let the Tensor Engine take up to 128x128: from SBUF into a dst with buffer=nl.psum"


@instruction(cost=CostClass.transpose, on=(Engine.tensor, Engine.vector), by_forms=True)
def nc_transpose(
    dst: NkiTensor, data: NkiTensor, engine: Engine = Engine.unknown, name: str | None = None
) -> Operation:
    """dst = data.T, bit-exact; free dimensions of data are flattened. PE up to 128x128, DVE up to 32x32.

    ```python
    x, turned = nl.ones((128, 64), nl.bfloat16), nl.ndarray((64, 128), nl.bfloat16, buffer=nl.psum)
    nisa.nc_transpose(dst=turned, data=x)  # on the PE, hence into PSUM
    ```
    """
    unit, rows, columns = _check(dst, data, engine)

    def compute(values: Any) -> Any:
        return np.ascontiguousarray(values).reshape(rows, columns).T  # rows far apart are slow to read by columns

    return Operation(unit, (data,), (dst,), compute, Work(rows), {"transpose": True}, name)


@remembered
def _check(dst: NkiTensor, data: NkiTensor, engine: Engine) -> tuple[Engine, int, int]:
    """Who does it, and the rows and columns of data."""
    checks.on_chip(("dst", dst), ("data", data))
    checks.same_dtype("dst", dst, "data", data)
    checks.writable("dst", dst)
    unit = checks.choose_engine(engine, (Engine.tensor, Engine.vector), _default(dst, data))
    limit, rows, columns = _LIMIT[unit], data.shape[0], checks.free_size(data)
    if rows > limit or columns > limit:
        raise ShapeError(
            f"a transpose on the {unit.name} engine takes a tile of at most {limit}x{limit}",
            f"{rows}x{columns}",
            f"Split it into tiles of {limit}{_ON_THE_PE if unit is Engine.vector else ''}.",
        )
    if (dst.shape[0], checks.free_size(dst)) != (columns, rows):
        raise ShapeError("dst is data transposed", f"{dst.shape} for {rows}x{columns}", "Fix dst's shape.")
    if unit is Engine.tensor:
        checks.in_sbuf(("data", data))
        checks.in_psum("dst", dst)
        checks.psum_banks("dst", dst)
    return unit, rows, columns


def _default(dst: NkiTensor, data: NkiTensor) -> Engine:
    return Engine.tensor if (dst.buffer, data.buffer) == (MemoryRegion.psum, MemoryRegion.sbuf) else Engine.vector
