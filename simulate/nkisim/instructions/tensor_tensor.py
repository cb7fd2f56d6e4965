# SPDX-License-Identifier: Apache-2.0
"""tensor_tensor: element-wise operation on two tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.memory import MemoryRegion, NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import alu, checks, device_rules
from nkisim.operations.enums import engine as Engine
from nkisim.operations.indirect import IndirectOperands
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.wide_integers import check_result


@instruction(
    cost=CostClass.two_input_elementwise,
    on=(Engine.vector, Engine.gpsimd),
    indirect=IndirectOperands(("dst", "data1")),
    by_forms=True,
)
def tensor_tensor(
    dst: NkiTensor,
    data1: NkiTensor,
    data2: NkiTensor,
    op: Any,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Operation:
    """dst = data1 <op> data2. 32-bit integer tiles in SBUF go to GpSimd, which is exact.

    ```python
    a, b = nl.ones((128, 512), nl.float32), nl.ones((128, 512), nl.float32)
    total = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=total, data1=a, data2=b, op=nl.add)
    ```
    """
    op = alu.alu_operator(op, arity=2)
    checks.two_inputs(dst, ("data1", data1), ("data2", data2))
    alu.check_bitwise(op, dst=dst, data1=data1, data2=data2)
    tiles = (dst, data1, data2)
    exact = all(t.dtype in ("int32", "uint32") and t.buffer is MemoryRegion.sbuf for t in tiles) and not op.bitwise
    default = Engine.gpsimd if op.name == "power" or exact else Engine.vector
    allowed = (Engine.gpsimd,) if op.name == "power" else (Engine.vector, Engine.gpsimd)
    unit = checks.choose_engine(engine, (Engine.vector,) if op.bitwise else allowed, default)
    checks.gpsimd_stays_out_of_psum(unit, ("dst", dst), ("data1", data1), ("data2", data2))
    if unit is Engine.gpsimd:
        device_rules.no_fp8_on_gpsimd(("dst", dst), ("data1", data1), ("data2", data2))
    native = exact and unit is Engine.gpsimd and op.name != "power"

    def compute(a: Any, b: Any) -> Any:
        b = b.reshape(a.shape)
        if native:
            return _wrap(alu.apply(op, a.astype(np.int64), b.astype(np.int64)), dst)
        return check_result(a, alu.apply(op, *alu.operands(op, a, b)))

    details = {"op": op.name}
    return Operation(unit, (data1, data2), (dst,), compute, Work(checks.free_size(dst)), details, name)


def _wrap(values: Any, dst: NkiTensor) -> Any:
    """32-bit integer arithmetic wraps around."""
    return values.astype(np.int64).astype(np.uint32).view(dst.dtype.numpy)
