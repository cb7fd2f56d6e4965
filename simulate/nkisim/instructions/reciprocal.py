# SPDX-License-Identifier: Apache-2.0
"""reciprocal: 1 / data on the Vector Engine."""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.reciprocal, on=Engine.vector)
def reciprocal(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Operation:
    """dst = 1 / data, in fp32.

    ```python
    x, inverse = nl.ones((128, 1), nl.float32), nl.ndarray((128, 1), nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=x)
    ```
    """
    checks.on_chip(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.same_tile(("data", data), ("dst", dst))
    checks.writable("dst", dst)
    work = Work(checks.free_size(dst))
    return Operation(Engine.vector, (data,), (dst,), lambda x: np.float32(1) / to_float32(x), work, name=name)
