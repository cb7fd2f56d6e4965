# SPDX-License-Identifier: Apache-2.0
"""core_barrier: the cores of an LNC pair wait for each other."""

from __future__ import annotations

from typing import Any

from nkisim.errors import ArgumentError, BufferRuleError, kernel_location
from nkisim.execution.neuron_core import current_core
from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.observe import CostClass, Meeting
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.barrier, on=tuple(Engine), meeting=Meeting.barrier)
def core_barrier(data: NkiTensor, cores: Any, engine: Engine = Engine.gpsimd, name: str | None = None) -> Operation:
    """No core continues on `engine` before all have come here; `data` is the shared tensor they synchronise on.

    cores is (0, 1). data is in shared HBM, or an SBUF tile that each core has.

    ```python
    shared = nl.ndarray((2, 128, 4), nl.float32, buffer=nl.shared_hbm)
    core, ones = nl.program_id(0), nl.ones((128, 4), nl.float32)
    nisa.dma_copy(dst=shared[core], src=ones)
    nisa.core_barrier(data=shared, cores=(0, 1))
    nisa.dma_copy(dst=ones, src=shared[1 - core])  # what the other core wrote
    ```
    """
    core = current_core()
    checks.generation(3, "core_barrier")
    wanted = tuple(cores) if isinstance(cores, (tuple, list)) else (cores,)
    if core.count != 2 or wanted != (0, 1):
        raise ArgumentError(
            "core_barrier is between cores (0, 1) of a two-core launch",
            f"cores={cores} in a launch of {core.count}",
            "Launch with kernel[2] and pass cores=(0, 1).",
        )
    if checks.tensor(data, "data").buffer not in (MemoryRegion.shared_hbm, MemoryRegion.sbuf):
        raise BufferRuleError(
            "core_barrier synchronises on shared HBM, or on an SBUF tile that each core has",
            f"{data.buffer.value}",
            "Allocate it with buffer=nl.shared_hbm.",
        )
    core.meet("core_barrier", kernel_location())
    return Operation(engine, (), (), lambda: (), details={"barrier": data.storage.identity}, name=name)
