# SPDX-License-Identifier: Apache-2.0
"""register_store: a register into memory."""

from __future__ import annotations

import numpy as np

from nkisim.execution.registers import VirtualRegister
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.register_operands import one_integer, register


@instruction(cost=CostClass.register_memory, on=Engine.sync)
def register_store(dst: NkiTensor, src: VirtualRegister) -> Operation:
    """The single element of dst = src.

    ```python
    register, count = nisa.register_alloc(3), nl.ndarray((1, 1), nl.int32, buffer=nl.sbuf)
    nisa.register_store(dst=count, src=register)
    ```
    """
    value = register(src, "src").read()
    one_integer("dst", dst)
    return Operation(Engine.sync, (), (dst,), lambda: np.full(dst.shape, value, np.int64))
