# SPDX-License-Identifier: Apache-2.0
"""`downcast_to_static_fp8`: x / scale as fp8, with one scale that was calibrated."""

from __future__ import annotations

import math
from typing import Any

import nki

from nkimoe import kernels
from nkimoe.arrays import Array
from nkimoe.errors import InputError, require
from nkimoe.kernels.ops import static_codes
from nkimoe.planning.argument_types import checked_operation
from nkimoe.planning.row_quantisation.check_inputs import is_of_floats, largest_magnitude
from nkimoe.planning.row_quantisation.request import FP8, RowQuantisation
from nkimoe.planning.row_quantisation.validate import E4M3, FLOATS, code_type, sizes


def check_static_inputs(x: Array, scale: Array, **_: Any) -> None:
    """Raises InputError for values that are not finite, or a scale that is not positive."""
    for name, values in (("x", x), ("scale", scale)):
        if is_of_floats(values):
            largest_magnitude(name, values)
    if is_of_floats(scale) and (scale <= 0).any():
        raise InputError("scale", "is positive", str(scale), "Calibrate it.")


@nki.jit
@checked_operation(check_static_inputs)
def downcast_to_static_fp8(x: Any, scale: Any, *, out: str = FP8) -> Any:
    """x / scale, to the nearest e4m3, ties to even, saturated (aiter).

    Codes are x times the reciprocal of the scale: a few in a million are the code beside that of a division.

    Args:
        x: [M, N] or [E, M, N] bfloat16, float16 or float32; M may be 0.
        scale: float32, one number.
        out: "fp8", the target's e4m3, or the name of that type.

    Returns:
        e4m3, shape of x.

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for NaN or infinite values, or a scale that is not positive.
    """
    shape, target = sizes(x), kernels.target()
    is_right = len(shape) in (2, 3) and shape[-1] > 0
    require(is_right, "x", "is [M, N] or [E, M, N], N of 1 or more", shape or type(x).__name__, "Reshape it.")
    require(str(x.dtype) in FLOATS, "x", f"is {', '.join(FLOATS)}", x.dtype, "Cast it.")
    count = math.prod(sizes(scale)) if hasattr(scale, "shape") else 0
    require(
        count == 1 and str(scale.dtype) == "float32", "scale", "is float32, one number", sizes(scale), "Reshape it."
    )
    known = (FP8, *(name for name in E4M3 if name in target.fp8_dtypes))
    require(
        out in known, "out", f"is one of {', '.join(known)} on {target.name}", repr(out), "Quantise to another type."
    )
    dtype = code_type(RowQuantisation("downcast_to_static_fp8", x, out=out), target)
    rows = math.prod(shape[:-1])
    codes = static_codes.run(x.reshape((rows, shape[-1])), scale.reshape((1, 1)), dtype)
    return codes if len(shape) == 2 else codes.reshape(shape)
