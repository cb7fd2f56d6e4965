# SPDX-License-Identifier: Apache-2.0
"""rand_set_state: load the state of an engine's random number generators."""

from __future__ import annotations

from typing import Any

from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.random_numbers import check_state, generators, lanes_of


@instruction(cost=CostClass.generator_state, on=(Engine.gpsimd, Engine.vector))
def rand_set_state(src_seeds: NkiTensor, engine: Engine = Engine.gpsimd, name: str | None = None) -> Operation:
    """Lane p's generators continue from the XORWOW states in src_seeds[p]; their bit streams are nkisim's own.

    ```python
    state = nl.ndarray((128, 6), nl.uint32, buffer=nl.sbuf)
    nisa.rand_get_state(dst=state)
    nisa.rand_set_state(src_seeds=state)  # what follows is drawn again
    ```
    """
    unit = check_state("src_seeds", src_seeds, engine, "rand_set_state")
    checks.in_sbuf(("src_seeds", src_seeds))
    lanes = lanes_of(src_seeds)

    def load(values: Any) -> Any:
        state = generators(unit).state
        state[lanes] = values.reshape(state[lanes].shape)
        return ()

    return Operation(unit, (src_seeds,), (), load, Work(checks.free_size(src_seeds)), name=name)
