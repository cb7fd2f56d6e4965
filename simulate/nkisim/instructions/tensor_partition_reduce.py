# SPDX-License-Identifier: Apache-2.0
"""tensor_partition_reduce: reduce across partitions on GpSimd."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import alu, checks, device_rules
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import Operator

_OPS = ("add", "average", "maximum", "bitwise_or", "bitwise_and")


@instruction(cost=CostClass.partition_reduction, on=Engine.gpsimd)
def tensor_partition_reduce(dst: NkiTensor, op: Any, data: NkiTensor, name: str | None = None) -> Operation:
    """dst[0, ...] = reduce(data, over partitions), in fp32 or, for bit operations, on raw integers.

    dst is [1, ...], with the elements of a partition of data.

    ```python
    x, total = nl.ones((128, 512), nl.float32), nl.ndarray((1, 512), nl.float32, buffer=nl.sbuf)
    nisa.tensor_partition_reduce(dst=total, op=nl.add, data=x)
    ```
    """
    if not isinstance(op, Operator) or op.name not in _OPS:
        raise ArgumentError(f"op is one of {', '.join(_OPS)}", f"{op!r}", "Transpose the tile and use tensor_reduce.")
    checks.in_sbuf(("dst", dst), ("data", data))
    checks.not_packed(("dst", dst), ("data", data))
    checks.writable("dst", dst)
    alu.check_bitwise(op, dst=dst, data=data)
    if op.bitwise:
        checks.same_dtype("dst", dst, "data", data)
    if not op.bitwise:
        device_rules.not_int32("tensor_partition_reduce", data)
    if dst.shape[0] != 1 or checks.free_size(dst) != checks.free_size(data):
        raise ShapeError(
            "dst is one partition with the elements of data", f"{dst.shape} for {data.shape}", "Fix dst's shape."
        )

    def compute(values: Any) -> Any:
        x = values if op.bitwise else to_float32(values)
        return op.function.reduce(x, axis=0) if isinstance(op.function, np.ufunc) else op.function(x)

    return Operation(Engine.gpsimd, (data,), (dst,), compute, Work(checks.free_size(data)), {"op": op.name}, name)
