# SPDX-License-Identifier: Apache-2.0
"""tensor_copy: copy a tile within the on-chip memories."""

from __future__ import annotations

from nkisim.dtypes import to_float32
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(
    cost=CostClass.copy,
    on=(Engine.vector, Engine.scalar, Engine.gpsimd),
    indirect=IndirectOperands(("dst", "src"), engines=(Engine.vector, Engine.scalar)),
    by_forms=True,
)
def tensor_copy(dst: NkiTensor, src: NkiTensor, engine: Engine = Engine.unknown, name: str | None = None) -> Operation:
    """dst = src: bit-exact between equal types, else through fp32.

    ```python
    product = nl.zeros((128, 512), nl.float32, buffer=nl.psum)
    rows = nl.ndarray((128, 512), nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_copy(dst=rows, src=product)  # PSUM -> SBUF, rounded to bf16
    ```
    """
    checks.on_chip(("dst", dst), ("src", src))
    checks.same_tile(("src", src), ("dst", dst))
    checks.writable("dst", dst)
    unit = checks.choose_engine(engine, (Engine.vector, Engine.scalar, Engine.gpsimd), Engine.vector)
    checks.gpsimd_stays_out_of_psum(unit, ("dst", dst), ("src", src))
    exact = dst.dtype == src.dtype
    if not exact:
        checks.not_packed(("dst", dst), ("src", src))
    return Operation(
        unit, (src,), (dst,), lambda x: x if exact else to_float32(x), Work(checks.free_size(dst)), name=name
    )
