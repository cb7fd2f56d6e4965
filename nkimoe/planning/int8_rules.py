# SPDX-License-Identifier: Apache-2.0
"""Static rejections of int8 activations."""

from __future__ import annotations

from nkimoe.errors import require
from nkimoe.planning.problem import Problem
from nkimoe.planning.quantization import down_of, exact_rows, gate_up_of
from nkimoe.planning.request import Request
from nkimoe.planning.targets import Target
from nkimoe.planning.tiling import ceil_div
from nkimoe.planning.variants import INTERMEDIATE, Variant
from nkimoe.spec import EXACT_ROWS, INT8_PER_TOKEN


def int8_activations(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """int8 activations meet int8 weights."""
    given, config = request.activation_quantization, request.quantization_config
    rows = None if config is None else config.exact_rows
    require(
        given in (None, INT8_PER_TOKEN), "activation_quantization", f"is None or {INT8_PER_TOKEN!r}", repr(given),
        "None leaves activations as they are; input scales quantise them to fp8.",
    )  # fmt: skip
    if given is not None:
        for matrix in (gate_up_of(request), down_of(request)):
            require(
                matrix.is_int8, matrix.argument, f"is int8 with activation_quantization={given!r}",
                str(matrix.weight.dtype), "Pack the weights with nkimoe.weights.Int8, or drop it.",
            )  # fmt: skip
        _shared_blocks(request, problem, variant)
    is_whole = isinstance(rows, int) and not isinstance(rows, bool) and rows > 0 and rows % EXACT_ROWS == 0
    require(
        rows is None or is_whole, "quantization_config.exact_rows", f"is a multiple of {EXACT_ROWS}, or None",
        repr(rows), "Compute it with nkimoe.weights.exact_rows.",
    )  # fmt: skip
    require(
        rows is None or given is not None, "quantization_config.exact_rows", "is for activation_quantization",
        f"{rows} without it", "Drop it.",
    )  # fmt: skip


def _shared_blocks(request: Request, problem: Problem, variant: Variant) -> None:
    """Each core's sums over its half of I are exact, so that their sum over both is rounded once."""
    if variant.split != INTERMEDIATE or problem.cores == 1:
        return
    half, most = ceil_div(problem.I, problem.cores), exact_rows(request)
    require(
        half <= most, "down_proj_weight", f"has at most {problem.cores} x {most} rows where cores share a block",
        f"I={problem.I}", "Use shard_on_block, or pass quantization_config.exact_rows if the weights allow more.",
    )  # fmt: skip
    dtype = str(request.sum_dtype)
    require(
        dtype == "float32", "accumulation_dtype", "is float32 with int8 activations", dtype, "Others are not exact."
    )
