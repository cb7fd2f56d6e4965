"""max8: the eight largest values of each partition."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.dtypes import to_float32
from nkisim.errors import ShapeError
from nkisim.instructions import checks
from nkisim.instructions.enums import engine as Engine
from nkisim.instructions.operation import Operation, instruction
from nkisim.memory import NkiTensor
from nkisim.observe import Work


@instruction
def max8(dst: NkiTensor, src: NkiTensor, name: str | None = None) -> Operation:
    """dst[p] = the eight largest values of src[p], the largest first."""
    checks.on_chip(("dst", dst), ("src", src))
    checks.not_packed(("dst", dst), ("src", src))
    checks.writable("dst", dst)
    eight_of(src, "src")
    if dst.ndim != 2 or dst.shape != (src.shape[0], 8):
        raise ShapeError("dst is [partitions of src, 8]", f"{dst.shape} for {src.shape}", "Fix dst's shape.")

    def compute(values: Any) -> Any:
        flat = to_float32(values).reshape(values.shape[0], -1)
        top = np.partition(flat, flat.shape[1] - 8, axis=1)[:, -8:]
        return np.sort(top, axis=1)[:, ::-1]

    return Operation(Engine.vector, (src,), (dst,), compute, Work(checks.free_size(src)), name=name)


def eight_of(data: NkiTensor, operand: str) -> None:
    """What the instructions that look for eight values require of the data they search."""
    if data.ndim > 3 or not 8 <= checks.free_size(data) <= 16384:
        raise ShapeError(
            f"{operand} has up to three dimensions and 8 to 16384 elements a partition", f"{data.shape}", "Split it."
        )


def eight_values(vals: NkiTensor, data: NkiTensor) -> None:
    """The values looked for: eight in each partition of the data."""
    if vals.shape[0] != data.shape[0] or vals.ndim > 3 or checks.free_size(vals) != 8:
        raise ShapeError("vals has eight elements a partition of data", f"{vals.shape} for {data.shape}", "Use max8.")
