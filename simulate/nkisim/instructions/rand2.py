# SPDX-License-Identifier: Apache-2.0
"""rand2: uniform random numbers on the Vector Engine of NeuronCore-v4."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import accumulators, checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.random_numbers import generators, lanes_of

_DTYPES = (
    "float8_e4m3", "float8_e5m2", "float16", "bfloat16", "float32", "tfloat32", "int8", "int16", "int32", "uint8",
    "uint16", "uint32",
)  # fmt: skip


@instruction(cost=CostClass.random_range, on=Engine.vector)
def rand2(dst: NkiTensor, min: Any, max: Any, name: str | None = None) -> Operation:
    """dst = uniform random numbers from min to max. The bit stream differs from the hardware's (see random_numbers).

    ```python
    noise = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.rand2(dst=noise, min=-1.0, max=1.0)
    ```
    """
    checks.generation(4, "rand2")
    checks.on_chip(("dst", dst))
    checks.dtype_in("dst", dst, _DTYPES)
    checks.writable("dst", dst)
    bounds = [
        *checks.scalar_or_column("min", min, dst, "float32"),
        *checks.scalar_or_column("max", max, dst, "float32"),
    ]
    if not bounds:
        _check_order(np.float32(min), np.float32(max))
    source, lanes, count = generators(Engine.vector), lanes_of(dst), checks.free_size(dst)

    def compute(*columns: Any) -> Any:
        waiting, like = list(columns), np.empty((dst.shape[0], 1))
        low = accumulators.column_or_number(min, waiting, like)
        high = accumulators.column_or_number(max, waiting, like)
        _check_order(low, high)
        return low + source.uniform(lanes, count) * (high - low)

    return Operation(Engine.vector, tuple(bounds), (dst,), compute, Work(count), name=name)


def _check_order(low: Any, high: Any) -> None:
    if not np.all(low < high):
        raise ArgumentError("min is less than max", f"{np.max(low)} and {np.min(high)}", "Fix the range.")
