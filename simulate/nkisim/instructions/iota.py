"""iota: generate an affine integer pattern on GpSimd."""

from __future__ import annotations

import numpy as np

from nkisim.instructions import checks
from nkisim.instructions.affine_pattern import affine_values
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
    generated = affine_values(pattern, offset, channel_multiplier, dst)
    return Operation(
        Engine.gpsimd, (), (dst,), lambda: generated.astype(np.int64), Work(checks.free_size(dst)), name=name
    )
