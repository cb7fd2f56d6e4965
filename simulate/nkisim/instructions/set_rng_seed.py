# SPDX-License-Identifier: Apache-2.0
"""set_rng_seed: seed the Vector Engine's random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import DtypeError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.random_numbers import generators


@instruction(cost=CostClass.generator_state, on=Engine.vector)
def set_rng_seed(src_seeds: NkiTensor, name: str | None = None) -> Operation:
    """Seed every lane of the Vector Engine from one 32-bit value. The bit streams that follow are nkisim's own.

    src_seeds is [1, 1].

    ```python
    seed = nl.full((1, 1), 7, nl.uint32)
    nisa.set_rng_seed(src_seeds=seed)
    ```
    """
    checks.on_chip(("src_seeds", src_seeds))
    if src_seeds.shape != (1, 1):
        raise ShapeError("src_seeds is [1, 1]", f"{src_seeds.shape}", "Slice one element.")
    if src_seeds.dtype.itemsize != 4 or src_seeds.dtype.kind == "packed":
        raise DtypeError("src_seeds is a 32-bit value", f"{src_seeds.dtype}", "Use uint32.")

    def seed(values: Any) -> Any:
        generators(Engine.vector).seed(int(np.ascontiguousarray(values).view(np.uint32)[0, 0]))
        return ()

    return Operation(Engine.vector, (src_seeds,), (), seed, name=name)
