# SPDX-License-Identifier: Apache-2.0
"""nonzero_with_count: positions of nonzero elements and their number, in every 16th partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

_GROUP = 16


@instruction(cost=CostClass.compaction, on=Engine.gpsimd)
def nonzero_with_count(
    dst: NkiTensor, src: NkiTensor, index_offset: int = 0, padding_val: int = -1, name: str | None = None
) -> Operation:
    """dst[p] = positions of nonzero elements of src[p] plus index_offset, padding, count; for p = 0, 16, 32, ...

    Other partitions are neither read nor written: each GpSimd core works on the first of its 16.

    index_offset and padding_val are int32 numbers.

    ```python
    mask, found = nl.ones((16, 512), nl.int32), nl.ndarray((16, 513), nl.int32, buffer=nl.sbuf)
    nisa.nonzero_with_count(dst=found, src=mask)  # found[0]: 512 positions, then how many
    ```
    """
    checks.generation(3, "nonzero_with_count")
    checks.in_sbuf(("dst", dst), ("src", src))
    checks.dtype_in("src", src, ("float32", "int32"))
    checks.dtype_in("dst", dst, ("int32",))
    checks.writable("dst", dst)
    count = checks.free_size(src)
    if dst.shape[0] != src.shape[0] or checks.free_size(dst) != count + 1:
        raise ShapeError(
            "dst has the partitions of src and one element more", f"{dst.shape} for {src.shape}", "Fix dst's shape."
        )
    for operand, value in (("index_offset", index_offset), ("padding_val", padding_val)):
        if not isinstance(value, (int, np.integer)) or not -(2**31) <= value < 2**31:
            raise ArgumentError(f"{operand} is an int32", f"{value!r}", "Pass an integer constant.")
    active = range(0, src.shape[0], _GROUP)

    def compute(*rows: Any) -> Any:
        return tuple(_positions(row.reshape(-1), index_offset, padding_val) for row in rows)

    reads, writes = tuple(src[p : p + 1] for p in active), tuple(dst[p : p + 1] for p in active)
    return Operation(Engine.gpsimd, reads, writes, compute, Work(count), name=name)


def _positions(values: Any, offset: int, padding: int) -> Any:
    found = np.flatnonzero(values != 0)
    result = np.full(values.size + 1, padding, np.int32)
    result[: found.size] = found + offset
    result[-1] = found.size
    return result
