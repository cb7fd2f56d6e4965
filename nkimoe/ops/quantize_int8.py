# SPDX-License-Identifier: Apache-2.0
"""SGLang's int8 quantisers: of activations by token, of weights by output channel."""

from __future__ import annotations

from typing import Any

import nki
import nki.language as nl

from nkimoe import kernels
from nkimoe.errors import require
from nkimoe.kernels.ops import quantise_rows
from nkimoe.planning.argument_types import checked_operation
from nkimoe.planning.row_quantisation.check_inputs import check_row_inputs
from nkimoe.planning.row_quantisation.plan import make_row_plan
from nkimoe.planning.row_quantisation.request import RowQuantisation
from nkimoe.planning.row_quantisation.validate import sizes


@nki.jit
@checked_operation(check_row_inputs)
def quantize_per_token_int8(x: Any) -> tuple[Any, Any]:
    """Quantise rows as SGLang does, bit for bit: with a = max(max |x|, 1e-7) of a row, in fp32,

        scale = a / 127      q = x * (127 / a), the factor rounded first, then to the nearest, ties to even

    Args:
        x: [T, H] bfloat16, float16 or float32.

    Returns:
        (q int8 [T, H], scale float32 [T]). T may be 0.

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for NaN or infinite values.
    """
    request = RowQuantisation("quantize_per_token_int8", x, divides=False)
    return quantise_rows.run(request, make_row_plan(request, nl.num_programs(0), kernels.target()))


@nki.jit
@checked_operation(check_row_inputs)
def quantize_per_channel_int8(w: Any) -> tuple[Any, Any]:
    """Quantise weights with a scale for each output channel, by the formulas of `quantize_per_token_int8`.

    Args:
        w: [N, K], or [E, N, K] for experts; bfloat16, float16 or float32.

    Returns:
        (q int8 of the shape of w, scale float32 of that shape without K).

    Raises:
        RequestError: the request cannot be honoured; names the argument, the rule and what would work.
        InputError: before a simulated launch, for NaN or infinite values.
    """
    shape = sizes(w)
    require(
        len(shape) in (2, 3) and min(shape) > 0, "w", "is [N, K] or [E, N, K], none of them 0",
        shape or type(w).__name__, "Reshape it.",
    )  # fmt: skip
    channels, K = shape[:-1], shape[-1]
    rows = w.reshape((channels[0] * channels[-1] if len(channels) > 1 else channels[0], K))
    request = RowQuantisation("quantize_per_channel_int8", rows, divides=False)
    codes, scales = quantise_rows.run(request, make_row_plan(request, nl.num_programs(0), kernels.target()))
    return codes.reshape(shape), scales.reshape(channels)
