# SPDX-License-Identifier: Apache-2.0
"""register_load: an integer from memory into a register."""

from __future__ import annotations

from typing import Any

from nkisim.execution.neuron_core import current_core
from nkisim.execution.registers import VirtualRegister
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.register_operands import one_integer, register


@instruction(cost=CostClass.register_memory, on=Engine.sync)
def register_load(dst: VirtualRegister, src: NkiTensor) -> Operation:
    """dst = the single element of src, an HBM or SBUF tensor of at most 32 bits.

    ```python
    count, register = nl.full((1, 1), 3, nl.int32), nisa.register_alloc()
    nisa.register_load(dst=register, src=count)
    ```
    """
    target = register(dst, "dst")
    one_integer("src", src)

    def load(values: Any) -> tuple[()]:
        target.load(int(values.reshape(-1)[0]))
        target.loaded_by = current_core().position
        return ()

    return Operation(Engine.sync, (src,), (), load)
