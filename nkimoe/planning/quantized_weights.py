# SPDX-License-Identifier: Apache-2.0
"""Rules of dense weights that are quantised, and of their scales."""

from __future__ import annotations

from nkimoe.errors import require
from nkimoe.planning.problem import Problem
from nkimoe.planning.quantization import Matrix, check_scale, down_of, gate_up_of, scale_shapes
from nkimoe.planning.request import COMPUTE_DTYPES, Request
from nkimoe.planning.scale_blocks import block_scale_shapes
from nkimoe.planning.targets import Target
from nkimoe.planning.variants import Variant

MOST_BLOCKS = 128  # of I: each has a partition on its way to the weights


def quantisation(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """Both weights."""
    _quantised(request, gate_up_of(request), "gate_up", scale_shapes(problem.E, 2 * problem.I, 2), problem, target)
    _quantised(request, down_of(request), "down", scale_shapes(problem.E, problem.H, 1), problem, target)


def _quantised(
    request: Request, matrix: Matrix, which: str, shapes: tuple[tuple[int, ...], ...], problem: Problem, target: Target
) -> None:
    """The rules of one weight, its scale and the scale of its inputs."""
    dtype, scale, in_scale = str(matrix.weight.dtype), f"{which}_proj_scale", f"{which}_in_scale"
    if matrix.is_fp8:
        require(
            dtype in target.fp8_dtypes, matrix.argument, f"is {' or '.join(target.fp8_dtypes)} on {target.name}", dtype,
            "Pack the weights for this target, e.g. with nkimoe.weights.",
        )  # fmt: skip
    if matrix.is_fp8 or matrix.is_int8:
        kind = "fp8" if matrix.is_fp8 else "int8"
        require(
            COMPUTE_DTYPES.get(str(request.compute_dtype)) == 2, "compute_dtype",
            f"has 16 bits when weights are {kind}", str(request.compute_dtype), "Use bfloat16.",
        )  # fmt: skip
        require(matrix.scale is not None, scale, f"is given with {kind} weights", "None", "Pass ones if there is none.")
    if matrix.scale is not None:
        blocks = block_scale_shapes(matrix.weight.shape)
        check_scale(scale, matrix.scale.tensor, (*shapes, *blocks) if matrix.is_fp8 else shapes)
    if matrix.block:
        require(
            MOST_BLOCKS * matrix.block >= problem.I, "down_proj_weight", f"has at most {MOST_BLOCKS} blocks of I",
            f"I={problem.I}", "Split I over more ranks (tensor parallelism).",
        )  # fmt: skip
    if matrix.in_scale is not None:
        require(matrix.is_fp8, in_scale, "quantises activations for fp8 weights", f"{dtype} weights", "Drop it.")
        require(
            not matrix.block, in_scale, "is for weights with a scale a column or a matrix",
            f"scales of {matrix.block} x {matrix.block} blocks, which are multiplied into the weights",
            "Drop it, or pack the weights with nkimoe.weights.Fp8Row.",
        )  # fmt: skip
        E = problem.E
        check_scale(in_scale, matrix.in_scale, ((E, 1), (E,), (1, 1), (1,)))
