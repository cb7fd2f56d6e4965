"""iota: generate an affine integer pattern on GpSimd."""

from __future__ import annotations

import numpy as np

from nkisim.errors import ArgumentError, ShapeError
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.operation import Operation, instruction
from nkisim.memory import NkiTensor
from nkisim.observe import Work


@instruction
def iota(
    dst: NkiTensor,
    pattern: list[list[int]],
    offset: int = 0,
    channel_multiplier: int = 0,
    name: str | None = None,
) -> Operation:
    """dst[p, w, z, y, x] = offset + p * channel_multiplier + w*step_w + z*step_z + y*step_y + x*step_x."""
    checks.in_sbuf(("dst", dst))
    checks.not_packed(("dst", dst))
    checks.writable("dst", dst)
    if not 1 <= len(pattern) <= 4:
        raise ArgumentError("an iota pattern has one to four [step, count] pairs", f"{pattern}", "Merge dimensions.")
    counts = [int(count) for _, count in pattern]
    if int(np.prod(counts)) != checks.free_size(dst):
        raise ShapeError(
            "the pattern generates as many values as dst has a partition",
            f"{int(np.prod(counts))} for {dst.shape}",
            "Fix the counts.",
        )
    values = np.arange(dst.shape[0], dtype=np.int64).reshape(-1, *([1] * len(counts))) * channel_multiplier + offset
    for axis, (step, count) in enumerate(pattern):
        shape = [1] * (len(counts) + 1)
        shape[axis + 1] = count
        values = values + (np.arange(count, dtype=np.int64) * step).reshape(shape)
    generated = values.astype(np.int32)
    return Operation(Engine.gpsimd, (), (dst,), lambda: generated, Work(checks.free_size(dst)), name=name)
