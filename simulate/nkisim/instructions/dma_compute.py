# SPDX-License-Identifier: Apache-2.0
"""dma_compute: add tensors inside the DMA engines, with optional gather or scatter read-modify-write."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ArgumentError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.enums import oob_mode as OobMode
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation
from nkisim.operations.operators import operator


@instruction(cost=CostClass.accumulating_transfer, on=Engine.dma)
def dma_compute(
    dst: NkiTensor,
    srcs: list[NkiTensor],
    reduce_op: Any,
    scales: list[float] | None = None,
    unique_indices: bool = True,
    oob_mode: OobMode = OobMode.error,
    name: str | None = None,
) -> Operation:
    """dst = sum(srcs) in fp32. With a vector_offset: dst[rows] += src, or dst += src[rows], rows unique.

    Tensors have equally many elements. reduce_op is nl.add, and each of scales, if given, is 1.0. unique_indices=True
    promises that no row is named twice, which is checked; False is refused.

    ```python
    a, b = nl.ones((128, 512), nl.float32), nl.ones((128, 512), nl.float32)
    total = nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.dma_compute(dst=total, srcs=[a, b], reduce_op=nl.add)
    ```
    """
    if reduce_op is not operator("add") or any(s != 1.0 for s in scales or []):
        raise ArgumentError("dma_compute adds unscaled tensors", f"{reduce_op!r}, scales {scales}", "Use nl.add.")
    if not 1 <= len(srcs) <= 16 or (scales is not None and len(scales) != len(srcs)):
        raise ArgumentError("dma_compute takes 1 to 16 sources", f"{len(srcs)} sources", "Chain several.")
    for operand, t in (("dst", dst), *((f"srcs[{i}]", s) for i, s in enumerate(srcs))):
        checks.reachable_by_dma(operand, t)
        checks.not_packed((operand, t))
        if t.size != dst.size:
            raise ShapeError("sources have as many elements as dst", f"{t.shape} for {dst.shape}", "Slice them.")
    checks.writable("dst", dst)
    indirect = any(t.is_indirect() for t in (dst, *srcs))
    if indirect and (len(srcs) != 2 or not unique_indices):
        raise ArgumentError(
            "an indexed dma_compute has exactly two sources and unique indices",
            f"{len(srcs)} sources, unique_indices={unique_indices}",
            "Split it, and make the indices unique.",
        )
    if oob_mode is OobMode.skip and not indirect:
        raise ArgumentError("oob_mode.skip needs a runtime index", "static addresses", "Drop oob_mode.")

    def compute(*values: Any) -> Any:
        parts = [to_float32(v) for v in values]
        return np.sum([p.reshape(parts[0].shape) for p in parts], axis=0, dtype=np.float32)

    details = {"dge": "swdge" if indirect else "none", "compute": True}
    skip = oob_mode is OobMode.skip
    return Operation(Engine.dma, tuple(srcs), (dst,), compute, details=details, name=name, skip_out_of_bounds=skip)
