# SPDX-License-Identifier: Apache-2.0
"""The definition with int8 weights and int8 activations: x and m = act(g) * u quantised as the kernel quantises them.

Beside `forward`: a row becomes codes from -127 to 127 and a scale, m after it was rounded to the compute dtype.
Products are computed in fp64, in which those of codes are exact.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nkimoe.arrays import Array, Floats
from nkimoe.reference.forward import moe_cte_reference
from nkimoe.reference.row_quantisation import quantize_int8_reference


def moe_cte_int8_reference(
    hidden_states: Array, expert_affinities_masked: Array, gate_up_proj_weight: Array, down_proj_weight: Array,
    token_position_to_id: Array, block_to_expert: Array, block_size: int, *, compute_dtype: str = "bfloat16",
    **options: Any,
) -> Floats:  # fmt: skip
    """Return the output, float32 [T', H]; arguments as of `moe_cte`, `options` as of the reference."""
    return moe_cte_reference(
        hidden_states, expert_affinities_masked, gate_up_proj_weight, down_proj_weight, token_position_to_id,
        block_to_expert, block_size, **roundings(compute_dtype), **options,
    )  # fmt: skip


def roundings(compute_dtype: str) -> dict[str, Any]:
    """What becomes of x and m, as options of the references."""
    return {"gate_up_rounding": quantised, "down_rounding": partial(_rounded_and_quantised, dtype=compute_dtype)}


def quantised(x: Floats) -> Any:
    """Rows [n, columns] as codes times their scale, in fp64."""
    codes, scale = quantize_int8_reference(x.astype(np.float32))
    return codes.astype(np.float64) * scale[:, None]


def _rounded_and_quantised(m: Floats, dtype: str) -> Any:
    return quantised(m.astype(dtype))
