# SPDX-License-Identifier: Apache-2.0
"""register_move: a constant or another register into a register."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ArgumentError
from nkisim.execution.neuron_core import current_core
from nkisim.execution.registers import VirtualRegister
from nkisim.memory import RegisterValue
from nkisim.observe import CostClass
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.register_operands import register


@instruction(cost=CostClass.register, on=Engine.sync)
def register_move(dst: VirtualRegister, src: Any) -> Operation:
    """dst = src, a constant or another register.

    ```python
    register = nisa.register_alloc()
    nisa.register_move(dst=register, src=3)
    ```
    """
    value = src.read() if isinstance(src, RegisterValue) else src
    if not isinstance(value, int):
        raise ArgumentError("register_move takes an int or a register", f"{type(src).__name__}", "Use register_load.")
    register(dst, "dst").load(value)
    dst.loaded_by = current_core().position
    return Operation(Engine.sync, (), (), lambda: ())
