# SPDX-License-Identifier: Apache-2.0
"""The output that a plan names."""

from __future__ import annotations

from collections.abc import Callable

import nki.language as nl

from nkimoe.kernels.shared_tensors import shared_tensor
from nkimoe.kernels.stages.column_halves import ColumnHalves
from nkimoe.kernels.stages.output_rows import Output, Slab
from nkimoe.kernels.stages.sum_of_choices import SumOfChoices
from nkimoe.kernels.stages.update_output import (
    Accumulate,
    AccumulateDisjoint,
    AccumulateSlabs,
    AddedToRows,
    Overwrite,
    OverwriteColumns,
    ReturnedSlabs,
)
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.output_forms import (
    ACCUMULATED,
    ADDED,
    BY_CHOICE,
    HALVES,
    OVERWRITTEN,
    SHARED,
    SLABS_RETURNED,
)
from nkimoe.planning.plan import Plan
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import OLD_ROW_SETS, Span


def slabs_in_rows(p: Problem, dtype: DType) -> tuple[Tensor, list[Slab]]:
    """[T', cores, H]."""
    tensor = shared_tensor((p.rows, p.cores, p.H), dtype, "output")
    return tensor, [Slab(tensor, p.rows, Span(0, p.H), p.cores * p.H, c * p.H) for c in range(p.cores)]


def slabs_one_after_another(p: Problem, dtype: DType) -> tuple[Tensor, list[Slab]]:
    """[cores, T', H]."""
    tensor = shared_tensor((p.cores, p.rows, p.H), dtype, "output")
    return tensor, [Slab(tensor, p.rows, Span(0, p.H), p.H, c * p.rows * p.H) for c in range(p.cores)]


MakeSlabs = Callable[[Problem, DType], tuple[Tensor, list[Slab]]]
"""The tensor with a slab for each core; which layout nkilib gives it depends on the numerics."""


def make_output(request: Request, plan: Plan, make_slabs: MakeSlabs) -> Output:
    """Allocate the output the request asks for and choose how it is updated."""
    p, dtype, buffers = plan.problem, request.output_dtype, OLD_ROW_SETS * plan.tiling.token_tiles
    if plan.output == SLABS_RETURNED:
        tensor, slabs = make_slabs(p, dtype)
        if p.cores == 1:
            return Accumulate(tensor, slabs[0], p.T, dtype, buffers)
        return ReturnedSlabs(tensor, slabs, p.T, dtype, buffers)
    tensor = shared_tensor((p.rows, p.H), dtype, "output")
    slab = Slab(tensor, p.rows, plan.share_of(nl.program_id(0)).written, p.H)
    if plan.output == OVERWRITTEN:
        kind = OverwriteColumns if plan.halves_intermediate else Overwrite
        return kind(tensor, slab, p.T, dtype)
    if plan.output == ADDED:
        return AddedToRows(tensor, slab, p.T, dtype, request)
    if plan.output == BY_CHOICE:
        return SumOfChoices(tensor, request, p, slab.columns)
    if plan.output == ACCUMULATED:
        return Accumulate(tensor, slab, p.T, dtype, buffers)
    if plan.output == SHARED:
        return AccumulateDisjoint(tensor, slab, p.T, dtype, buffers)
    if plan.output == HALVES:
        half = p.H // p.cores
        own = Slab(tensor, p.rows, Span(nl.program_id(0) * half, half), p.H)
        return ColumnHalves(tensor, own, p.T, dtype, buffers)
    scratch = shared_tensor((p.rows, p.H), dtype, "output_of_core_1")
    slabs = [slab, Slab(scratch, p.rows, Span(0, p.H), p.H)]
    return AccumulateSlabs(tensor, slabs, p.T, dtype, buffers)
