# SPDX-License-Identifier: Apache-2.0
"""rand_get_state: store the state of an engine's random number generators."""

from __future__ import annotations

from nkisim.execution.neuron_core import current_core
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.random_numbers import check_state, generators, lanes_of


@instruction(cost=CostClass.generator_state, on=(Engine.gpsimd, Engine.vector))
def rand_get_state(dst: NkiTensor, engine: Engine = Engine.gpsimd, name: str | None = None) -> Operation:
    """dst[p] = the XORWOW states of lane p's generators, as rand_set_state takes them.

    ```python
    state = nl.ndarray((128, 6), nl.uint32, buffer=nl.sbuf)
    nisa.rand_get_state(dst=state)
    ```
    """
    unit = check_state("dst", dst, engine, "rand_get_state")
    checks.gpsimd_stays_out_of_psum(unit, ("dst", dst))
    if current_core().machine.generation < 4:
        checks.in_sbuf(("dst", dst))
    checks.writable("dst", dst)
    state = generators(unit).state[lanes_of(dst)].copy()
    return Operation(unit, (), (dst,), lambda: state, Work(checks.free_size(dst)), name=name)
