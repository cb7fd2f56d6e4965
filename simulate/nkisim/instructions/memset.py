# SPDX-License-Identifier: Apache-2.0
"""memset: fill a tile with a constant."""

from __future__ import annotations

import numpy as np

from nkisim.dtypes import convert
from nkisim.errors import ArgumentError
from nkisim.memory import WRITTEN, ZEROED, MemoryRegion, NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.fill, on=(Engine.vector, Engine.gpsimd))
def memset(dst: NkiTensor, value: float, engine: Engine = Engine.unknown, name: str | None = None) -> Operation:
    """dst[...] = value.

    ```python
    tile = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=0.0)
    ```
    """
    checks.on_chip(("dst", dst))
    checks.writable("dst", dst)
    unit = checks.choose_engine(engine, (Engine.vector, Engine.gpsimd), Engine.vector)
    checks.gpsimd_stays_out_of_psum(unit, ("dst", dst))
    if dst.dtype.kind == "packed" and value != 0:
        raise ArgumentError("MX-packed tiles are set to 0 only", f"value {value}", "Use value=0.")
    if dst.dtype.is_integer and isinstance(value, (float, np.floating)):
        raise ArgumentError("an integer tile is set to an int", f"{value!r} for {dst.dtype}", "Convert it with int().")
    fill = np.zeros((), dst.dtype.numpy) if dst.dtype.kind == "packed" else convert(np.full((), value), dst.dtype)
    leaves = ZEROED if value == 0 and dst.buffer is MemoryRegion.psum else WRITTEN
    work, details = Work(checks.free_size(dst)), {"zero": value == 0}
    return Operation(unit, (), (dst,), lambda: np.broadcast_to(fill, dst.shape), work, details, name, leaves=leaves)
