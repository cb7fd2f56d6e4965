"""A launch of the grouped GEMM: slots and layouts are made on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.ops.expert_arguments import padded
from nkimoe.ops.gemm_weights import GemmWeights
from nkimoe.ops.grouped_gemm import grouped_gemm
from nkimoe.ops.launch import Launch
from nkimoe.ops.routing_tensors import dtype_of, like
from nkimoe.planning.grouped_gemm.pieces import pieces_of
from nkimoe.planning.grouped_gemm.plan import BLOCK
from nkimoe.planning.grouped_gemm.request import HALVED, SWIGLU, GemmOptions, Weighting
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import pair_blocks
from nkimoe.weights.host_array import is_torch


@dataclass(frozen=True)
class Epilogue:
    """What follows the products, as `GemmOptions` has it."""

    kind: str | None
    weighting: Weighting
    alpha: float = 1.0
    limit: float | None = None
    add_residual: bool = False

    @property
    def halves(self) -> int:
        """Columns of the product behind each column of the result."""
        return 2 if self.kind in HALVED else 1


def run_grouped(
    launch: Launch, a: Any, weights: GemmWeights, epilogue: Epilogue, ids: Array, topk_weights: Array
) -> Any:
    """c [M, k, columns] of checked arguments; ids and topk_weights [M, k] on the host."""
    (M, k), (E, N) = ids.shape, weights.sizes
    columns = N // epilogue.halves
    blocks = pair_blocks(ids, topk_weights, E, BLOCK)
    if not blocks.block_to_expert.size:
        shape = (M, k, columns)
        return a.new_zeros(shape) if is_torch(a) else np.zeros(shape, a.dtype)
    together = weights.given.codes_a_byte
    pieces = pieces_of(int(a.shape[1]), columns, epilogue.halves, weights.is_converted, together)
    options = GemmOptions(
        dtype_of(a), columns, k, blocks.has_gaps, epilogue.kind, epilogue.weighting, epilogue.alpha, epilogue.limit,
        epilogue.add_residual, weights.row_codes, weights.exact_rows,
    )  # fmt: skip
    a_scale, *tensors = weights.tensors(pieces, epilogue.kind == SWIGLU)
    tables = (like(t, a) for t in (blocks.tokens, blocks.positions, blocks.weights, blocks.block_to_expert))
    rows = launch(grouped_gemm, padded(a, pieces.rows * PARTITIONS), a_scale, *tensors, *tables, options)
    return rows.reshape(M, k, columns)
