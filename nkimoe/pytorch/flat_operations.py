# SPDX-License-Identifier: Apache-2.0
"""The kernels of operations with experts with flat arguments, as torch on a Neuron device passes them to kernels:
tensors, numbers, members of enums, None. Option objects are built inside, and fp8 comes as int8.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import nki
import nki.language as nl

from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.pair_experts import pair_experts, single_expert
from nkimoe.planning.expert_options import ExpertOptions
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.planning.grouped_gemm.request import GELU, GELU_MUL, SILU, SWIGLU, GemmOptions, Weighting
from nkimoe.pytorch.flat_kernels import Number
from nkimoe.spec import INT8_PER_TOKEN, ActFnType


class Finish(Enum):
    """Epilogues of a grouped GEMM, by their names."""

    SILU = SILU
    GELU_MUL = GELU_MUL
    GELU = GELU
    SWIGLU = SWIGLU


@nki.jit
def flat_pair_experts(
    hidden_states: Any, gate_up_proj_weight: Any, down_proj_weight: Any, gate_up_proj_scale: Any, down_proj_scale: Any,
    smooth_hidden: Any, smooth_intermediate: Any, tokens: Any, positions: Any, weights: Any, block_to_expert: Any,
    block_size: int, compute_dtype: Number, choices: int, rounds_each: bool, has_gaps: bool, activation: ActFnType,
    gated: bool, quantises: bool, exact_rows: int | None,
) -> Any:  # fmt: skip
    """`pair_experts`; quantises: activations become int8."""
    options = ExpertOptions(
        block_size, compute_dtype.value, choices, rounds_each, has_gaps, activation, gated,
        INT8_PER_TOKEN if quantises else None, exact_rows,
    )  # fmt: skip
    return pair_experts(
        hidden_states, gate_up_proj_weight, down_proj_weight, gate_up_proj_scale, down_proj_scale, smooth_hidden,
        smooth_intermediate, tokens, positions, weights, block_to_expert, options,
    )  # fmt: skip


@nki.jit
def flat_single_expert(
    hidden_states: Any, gate_up_proj_weight: Any, down_proj_weight: Any, gate_up_proj_scale: Any, down_proj_scale: Any,
    added: Any, factor: float, tokens: Any, block_to_expert: Any, block_size: int, compute_dtype: Number,
    quantises: bool, exact_rows: int | None,
) -> Any:  # fmt: skip
    """`single_expert`; quantises: activations become int8."""
    quantisation = INT8_PER_TOKEN if quantises else None
    options = ExpertOptions(
        block_size, compute_dtype.value, activation_quantization=quantisation, exact_rows=exact_rows
    )
    return single_expert(
        hidden_states, gate_up_proj_weight, down_proj_weight, gate_up_proj_scale, down_proj_scale, added, factor,
        tokens, block_to_expert, options,
    )  # fmt: skip


@nki.jit
def flat_grouped_gemm(
    a: Any, a_scale: Any, b: Any, group_scale: Any, group_zero: Any, scale: Any, bias: Any, out_factor: Any,
    tokens: Any, positions: Any, weights: Any, block_to_expert: Any, number: Number | None,
    block_size: int, width: int, at_once: int | None, split: Split | None, compute_dtype: Number, out_dtype: Number,
    columns: int, choices: int, has_gaps: bool, epilogue: Finish | None, weighting: Weighting, alpha: float, limit:
    float | None, add_residual: bool, row_codes: Number | None, exact_rows: int | None, scaled_columns: int | None,
    summed: int | None,
) -> Any:  # fmt: skip
    """`grouped_gemm`; number: what the integers of b stand for."""
    options = gemm_options(
        block_size, width, at_once, split, compute_dtype, out_dtype, columns, choices, has_gaps, epilogue, weighting,
        alpha, limit, add_residual, row_codes, exact_rows, scaled_columns, summed,
    )  # fmt: skip
    return grouped_gemm(
        a, a_scale, _viewed(b, number), group_scale, group_zero, scale, bias, out_factor, tokens, positions, weights,
        block_to_expert, options,
    )  # fmt: skip


@nki.jit
def flat_two_stage_moe(
    a: Any, a_scale: Any, w1: Any, group_scale1: Any, group_zero1: Any, scale1: Any, bias1: Any, m_scale: Any, w2: Any,
    group_scale2: Any, group_zero2: Any, scale2: Any, bias2: Any, tokens: Any, positions: Any, weights: Any,
    block_to_expert: Any, number: Number | None,
    block_size1: int, width1: int, at_once1: int | None, split1: Split | None, compute_dtype1: Number, out_dtype1:
    Number, columns1: int, choices1: int, has_gaps1: bool, epilogue1: Finish | None, weighting1: Weighting, alpha1:
    float, limit1: float | None, add_residual1: bool, row_codes1: Number | None, exact_rows1: int | None,
    scaled_columns1: int | None, summed1: int | None,
    block_size2: int, width2: int, at_once2: int | None, split2: Split | None, compute_dtype2: Number, out_dtype2:
    Number, columns2: int, choices2: int, has_gaps2: bool, epilogue2: Finish | None, weighting2: Weighting, alpha2:
    float, limit2: float | None, add_residual2: bool, row_codes2: Number | None, exact_rows2: int | None,
    scaled_columns2: int | None, summed2: int | None,
) -> Any:  # fmt: skip
    """`two_stage_moe`; number: what the integers of w1 and w2 stand for."""
    first = gemm_options(
        block_size1, width1, at_once1, split1, compute_dtype1, out_dtype1, columns1, choices1, has_gaps1, epilogue1,
        weighting1, alpha1, limit1, add_residual1, row_codes1, exact_rows1, scaled_columns1, summed1,
    )  # fmt: skip
    second = gemm_options(
        block_size2, width2, at_once2, split2, compute_dtype2, out_dtype2, columns2, choices2, has_gaps2, epilogue2,
        weighting2, alpha2, limit2, add_residual2, row_codes2, exact_rows2, scaled_columns2, summed2,
    )  # fmt: skip
    return two_stage_moe(
        a, a_scale, _viewed(w1, number), group_scale1, group_zero1, scale1, bias1, m_scale, _viewed(w2, number),
        group_scale2, group_zero2, scale2, bias2, tokens, positions, weights, block_to_expert, first, second,
    )  # fmt: skip


def gemm_options(
    block_size: int, width: int, at_once: int | None, split: Split | None, compute_dtype: Number, out_dtype: Number,
    columns: int, choices: int, has_gaps: bool, epilogue: Finish | None, weighting: Weighting, alpha: float, limit:
    float | None, add_residual: bool, row_codes: Number | None, exact_rows: int | None, scaled_columns: int | None,
    summed: int | None,
) -> GemmOptions:  # fmt: skip
    """As a kernel's program has them."""
    return GemmOptions(
        GemmChoice(block_size, width, at_once, split), compute_dtype.value, out_dtype.value, columns, choices,
        has_gaps, None if epilogue is None else epilogue.value, weighting, alpha, limit, add_residual,
        None if row_codes is None else row_codes.value, exact_rows, scaled_columns, summed,
    )  # fmt: skip


def _viewed(b: Any, number: Number | None) -> Any:
    return b if number is None else b.view(getattr(nl, number.value))
