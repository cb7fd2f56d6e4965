# SPDX-License-Identifier: Apache-2.0
"""`moe_smoothquant`: top-k expansion, a smooth row per expert, and rowwise dynamic quantisation, in one pass."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.kernels.ops import quantise_rows
from nkimoe.planning.argument_types import checked_operation
from nkimoe.planning.row_quantisation.check_inputs import check_row_inputs
from nkimoe.planning.row_quantisation.plan import make_row_plan
from nkimoe.planning.row_quantisation.request import EPS, INT8, RNE, TOPK_MAJOR, RowQuantisation


@nki.jit
@checked_operation(check_row_inputs)
def moe_smoothquant(
    x: Any, smooth_scale: Any, topk_ids: Any, *, out: str = INT8, rounding: str = RNE, zero_row: str = EPS,
    order: str = TOPK_MAJOR, out_stride: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Quantise each token once for each of its experts (Composable Kernel's example 14).

    For token t and choice j, with e = topk_ids[t, j], in fp32:

        y = x[t] * smooth_scale[e]      scale = max |y| / 127      q = y / scale, rounded

    and 448 (e4m3fn) or 240 (e4m3) for 127 with fp8 codes. Codes are y times the reciprocal of the scale: up to one in
    10**5 differ by one from those of a division.

    Args:
        x: [T, H] bfloat16, float16 or float32; or [T, k, H], a row for each choice.
        smooth_scale: [E, H] float32.
        topk_ids: [T, k] int32, k up to E; of ids outside 0..E-1, codes and scale are 0. A token may repeat an expert.
        out: "int8", codes from -127 to 127; "fp8", the target's e4m3; or the name of that type.
        rounding: "rne", to the nearest, ties to even; int8 also "away", ties away from zero, and "trunc", toward zero.
        zero_row: "eps", max |y| is at least 1e-7, so that smaller rows have coarser codes; "plus", 1e-12 is added to
            every scale. A row of zeros has codes 0.
        order: "topk_major", row j * T + t; "token_major", row t * k + j.
        out_stride: elements from one row of q to the next, H or more; what lies between is not written. None: H.

    Returns:
        (q [k * T, H], scale float32 [k * T]). T may be 0.

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for NaN or infinite values, or products beyond 2**127.
    """
    request = RowQuantisation("moe_smoothquant", x, smooth_scale, topk_ids, out, rounding, zero_row, order, out_stride)
    return quantise_rows.run(request, make_row_plan(request, nl.num_programs(0), kernels.target()))
