# SPDX-License-Identifier: Apache-2.0
"""`smoothquant`: one smooth row for all tokens, and rowwise dynamic quantisation."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.kernels.ops import quantise_rows
from nkimoe.planning.argument_types import checked_operation
from nkimoe.planning.row_quantisation.check_inputs import check_row_inputs
from nkimoe.planning.row_quantisation.plan import make_row_plan
from nkimoe.planning.row_quantisation.request import EPS, INT8, RNE, RowQuantisation


@nki.jit
@checked_operation(check_row_inputs)
def smoothquant(
    x: Any, smooth_scale: Any, *, out: str = INT8, rounding: str = RNE, zero_row: str = EPS,
    out_stride: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Quantise x * smooth_scale row by row (Composable Kernel's example 12).

    Args:
        x: [T, H] bfloat16, float16 or float32.
        smooth_scale: [H] float32.
        out, rounding, zero_row, out_stride: as of `moe_smoothquant`.

    Returns:
        (q [T, H], scale float32 [T]), with the formulas of `moe_smoothquant`.

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for NaN or infinite values, or products beyond 2**127.
    """
    request = RowQuantisation("smoothquant", x, smooth_scale, None, out, rounding, zero_row, out_stride=out_stride)
    return quantise_rows.run(request, make_row_plan(request, nl.num_programs(0), kernels.target()))
