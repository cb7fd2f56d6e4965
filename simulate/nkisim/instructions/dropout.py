# SPDX-License-Identifier: Apache-2.0
"""dropout: zero elements at random on the Vector Engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import DtypeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import alu, checks
from nkisim.operations.accumulators import FLOATS
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.random_numbers import generators, lanes_of


@instruction(cost=CostClass.random, on=Engine.vector)
def dropout(dst: NkiTensor, data: NkiTensor, prob: Any, name: str | None = None) -> Operation:
    """dst = data, with each element replaced by 0 with probability `prob`. Which ones differs from the hardware.

    ```python
    x, kept = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.dropout(dst=kept, data=x, prob=0.1)
    ```
    """
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    checks.same_dtype("dst", dst, "data", data)
    checks.writable("dst", dst)
    columns = checks.scalar_or_column("prob", prob, data)
    allowed = FLOATS if data.dtype.kind == "float" else ("float32",)
    if columns and columns[0].dtype not in allowed:
        raise DtypeError(
            f"prob is one of {', '.join(allowed)} for {data.dtype} data", f"{columns[0].dtype}", "Cast it to float32."
        )
    source, lanes, count = generators(Engine.vector), lanes_of(data), checks.free_size(data)

    def compute(values: Any, *column: Any) -> Any:
        limit = alu.column(to_float32(column[0]), values) if column else np.float32(prob)
        kept = source.uniform(lanes, count).reshape(values.shape) >= limit
        return np.where(kept, values, np.zeros((), values.dtype))

    return Operation(Engine.vector, (data, *columns), (dst,), compute, Work(count), name=name)
