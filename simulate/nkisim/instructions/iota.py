# SPDX-License-Identifier: Apache-2.0
"""iota: generate an affine integer pattern on GpSimd."""

from __future__ import annotations

import numpy as np

from nkisim.memory import NkiTensor
from nkisim.observe import CostClass, Work
from nkisim.operations import checks
from nkisim.operations.affine_pattern import affine_values
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import instruction
from nkisim.operations.operation import Operation


@instruction(cost=CostClass.pattern, on=Engine.gpsimd)
def iota(
    dst: NkiTensor,
    pattern: list[list[int]],
    offset: int = 0,
    channel_multiplier: int = 0,
    name: str | None = None,
) -> Operation:
    """dst[p, w, z, y, x] = offset + p * channel_multiplier + w*step_w + z*step_z + y*step_y + x*step_x.

    ```python
    index = nl.ndarray((128, 512), nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=index, pattern=[[1, 512]], channel_multiplier=512)  # index[p, i] = 512 p + i
    ```
    """
    checks.in_sbuf(("dst", dst))
    checks.not_packed(("dst", dst))
    checks.writable("dst", dst)
    generated = affine_values(pattern, offset, channel_multiplier, dst)
    return Operation(
        Engine.gpsimd, (), (dst,), lambda: generated.astype(np.int64), Work(checks.free_size(dst)), name=name
    )
