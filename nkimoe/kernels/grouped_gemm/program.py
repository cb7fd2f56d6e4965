# SPDX-License-Identifier: Apache-2.0
"""How a grouped GEMM is processed: passes over all blocks, of a few pieces of columns each, or of all of them.

The tokens of a block are turned into columns while the block before is multiplied; an expert's piece of weights is
replaced behind its last use.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import groupby, zip_longest

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.grouped_gemm.coding import make_coding
from nkimoe.kernels.grouped_gemm.epilogue import make_epilogue
from nkimoe.kernels.grouped_gemm.finish import PassFinish
from nkimoe.kernels.grouped_gemm.mx import MxPassWeights
from nkimoe.kernels.grouped_gemm.result import ResultRows, make_result
from nkimoe.kernels.grouped_gemm.routing import TurnedRouting
from nkimoe.kernels.grouped_gemm.tokens import Tokens, make_tokens
from nkimoe.kernels.grouped_gemm.weights import PassWeights, WeightsInPasses
from nkimoe.kernels.shared_tensors import name_scope
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.grouped_gemm.request import GemmRequest
from nkimoe.planning.tiling import PARTITIONS, Span


def run_gemm(request: GemmRequest, plan: GemmPlan) -> Tensor:
    """Emit the kernel `plan` describes and return its output [rows of a * choices, columns], or sums of its rows."""
    with name_scope("grouped_gemm"):
        return _run(request, plan)


def run_gemm_for_next(request: GemmRequest, plan: GemmPlan) -> Tensor:
    """The same, and every core may read what any has written."""
    result = run_gemm(request, plan)
    if plan.problem.cores > 1:
        nisa.core_barrier(data=result, cores=(0, 1))
    return result


def _run(request: GemmRequest, plan: GemmPlan) -> Tensor:
    result = make_result(request, plan)
    keeps_order = request.is_plain and plan.problem.B >= PARTITIONS
    with nl.no_reorder() if keeps_order else nullcontext():
        _multiply(request, plan, result)
    return result.finish()


def _multiply(request: GemmRequest, plan: GemmPlan, result: ResultRows) -> None:
    """All rows by all columns. Plain numbers in blocks of a whole tile or more stay in program order.

    A scheduler that puts the longest chain first would begin every tile of a block before it ends one, so that no piece
    of weights were free before the block is over. Where other engines convert weights or add products it finds room for
    them between the matmuls, and where blocks are small transfers of weights bound.
    """
    dtype, share = getattr(nl, request.options.compute_dtype), plan.share_of(nl.program_id(0))
    slots, passes = request.slots(dtype), plan.passes(share)
    routing = TurnedRouting(slots, plan.problem, share.blocks)
    tiles = Span(0, plan.tiling.token_tiles)
    parts = [Part(block, tiles, plan.problem.B, True) for block in routing.blocks(share.blocks.count)]
    tokens = make_tokens(request, plan, slots, routing.out_of_bounds, len(passes))
    weights, epilogue = WeightsInPasses(request, plan, dtype), make_epilogue(request.options)
    coding = make_coding(request)
    tokens.follow(parts * len(passes))
    for pieces in passes if parts else []:
        of_pass = weights.of_pass(pieces)
        finish = PassFinish(request, plan, pieces, of_pass.vectors, epilogue, coding)
        of_pass.fill(parts[0])
        for now, following in zip(parts, [*parts[1:], None], strict=True):
            _block(now, following, tokens, of_pass, finish, result)
    result.write_rest()


def _block(
    now: Part, following: Part | None, tokens: Tokens, weights: PassWeights | MxPassWeights, finish: PassFinish,
    result: ResultRows,
) -> None:  # fmt: skip
    """The rows of one block, in the columns of a pass; results leave a group of pieces at a time.

    Behind the first products the next tokens are turned. The rows after them are gathered, and the results before
    leave, in turns: GpSimd describes both, and a scatter waits for the one before. It goes first: a gather waits until
    tokens are turned.
    """
    operand = tokens.take()
    of_tokens = finish.of_tokens(operand, now)
    made = weights.products(operand, now, following)
    for group, of_group in groupby(made, key=lambda each: each[0] // finish.together):
        columns = finish.columns_of(group)
        rows = result.rows(columns, now.slots)
        for n, (piece, tile, products) in enumerate(of_group):
            finish.into(rows[tile], piece, products, of_tokens[tile])
            if n == 0:
                for _ in zip_longest(result.write(), tokens.prepare()):
                    pass
        result.hold(rows, columns, now)
