# SPDX-License-Identifier: Apache-2.0
"""nc_stream_shuffle: permute partitions within each quadrant of 32."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError, PartitionError, ShapeError
from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation

KEEP = 255


@instruction(cost=CostClass.shuffle, on=Engine.vector)
def nc_stream_shuffle(dst: NkiTensor, src: NkiTensor, shuffle_mask: list[int], name: str | None = None) -> Operation:
    """In each quadrant dst[i] = src[shuffle_mask[i]]; a mask entry of 255 leaves dst[i] alone.

    ```python
    x, mixed = nl.ones((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32, buffer=nl.sbuf)
    nisa.nc_stream_shuffle(dst=mixed, src=x, shuffle_mask=[0] * 32)  # the first row of each quadrant, 32 times
    ```
    """
    checks.on_chip(("dst", dst), ("src", src))
    checks.same_dtype("dst", dst, "src", src)
    checks.writable("dst", dst)
    if checks.free_size(dst) != checks.free_size(src):
        raise ShapeError("dst and src have equal elements a partition", f"{dst.shape} and {src.shape}", "Slice one.")
    mask = [int(m) for m in shuffle_mask]
    if len(mask) != 32 or not all(m == KEEP or 0 <= m < 32 for m in mask):
        raise ArgumentError("shuffle_mask has 32 entries, each 0..31 or 255", f"{mask}", "Fix the mask.")
    _check_starts(dst, src)
    reads_old = KEEP in mask

    def compute(values: Any, *old: Any) -> Any:
        out = old[0].copy() if old else np.empty(dst.shape, values.dtype)
        flat = values.reshape(src.shape[0], -1)
        target = out.reshape(dst.shape[0], -1)
        for i in range(dst.shape[0]):
            source = (i // 32) * 32 + mask[i % 32]
            if mask[i % 32] == KEEP:
                continue
            if source >= src.shape[0]:
                raise PartitionError(
                    "the mask selects partitions that src has",
                    f"partition {source} of {src.shape[0]}",
                    "Fix the mask.",
                )
            target[i] = flat[source]
        return out

    reads = (src, dst) if reads_old else (src,)
    return Operation(Engine.vector, reads, (dst,), compute, Work(checks.free_size(dst)), name=name)


def _check_starts(dst: NkiTensor, src: NkiTensor) -> None:
    active = -(-max(dst.shape[0], src.shape[0]) // 32) * 32
    step = 32 if active == 32 else 64 if active == 64 else 128
    for operand, t in (("dst", dst), ("src", src)):
        start = checks.start_partition(t)
        if start % step:
            raise PartitionError(
                f"a shuffle of {active} partitions starts at a multiple of {step}",
                f"{operand} at {start}",
                "Align it.",
            )
