"""Launches of grouped GEMMs: slots and layouts are made on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.ops.expert_arguments import padded
from nkimoe.ops.gemm_weights import GemmWeights
from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.launch import Launch
from nkimoe.ops.routing_tensors import dtype_of, like
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces, gemm_block_size, pieces_of
from nkimoe.planning.grouped_gemm.request import HALVED, SWIGLU, GemmOptions, Weighting
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
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


@dataclass(frozen=True, eq=False)
class Projection:
    """Checked weights, and what follows their products."""

    weights: GemmWeights
    epilogue: Epilogue

    @property
    def columns(self) -> int:
        """Of the result."""
        return self.weights.sizes[1] // self.epilogue.halves

    def pieces(self, K: int, columns: int) -> ColumnPieces:
        """How weights for rows of K columns are cut; `columns` are those of the result, with zeros behind its own."""
        weights = self.weights
        return pieces_of(K, columns, self.epilogue.halves, weights.is_converted, weights.given.codes_a_byte)

    def tensors(self, pieces: ColumnPieces) -> tuple[Any, ...]:
        """(a_scale, b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        return self.weights.tensors(pieces, self.epilogue.kind == SWIGLU)

    def options(
        self, dtype: str, columns: int, block_size: int, choices: int, has_gaps: bool, summed: int | None = None
    ) -> GemmOptions:
        """Constants of the launch."""
        e, weights = self.epilogue, self.weights
        return GemmOptions(
            block_size, dtype, columns, choices, has_gaps, e.kind, e.weighting, e.alpha, e.limit, e.add_residual,
            weights.row_codes, weights.exact_rows, summed,
        )  # fmt: skip


def run_grouped(launch: Launch, a: Any, projection: Projection, ids: Array, topk_weights: Array) -> Any:
    """c [M, k, columns] of checked arguments; ids and topk_weights [M, k] on the host."""
    (M, k), columns, E = ids.shape, projection.columns, projection.weights.sizes[0]
    B = gemm_block_size(ids.size, E, int(a.shape[1]))
    blocks = pair_blocks(ids, topk_weights, E, B)
    if not blocks.block_to_expert.size:
        return _zeros(a, (M, k, columns))
    pieces = projection.pieces(int(a.shape[1]), columns)
    a_scale, *tensors = projection.tensors(pieces)
    options = projection.options(dtype_of(a), columns, B, k, blocks.has_gaps)
    rows = padded(a, pieces.rows * PARTITIONS)
    return launch(grouped_gemm, rows, a_scale, *tensors, *_tables(blocks, a), options).reshape(M, k, columns)


def run_two_stages(
    launch: Launch, a: Any, first: Projection, second: Projection, ids: Array, topk_weights: Array
) -> Any:
    """[M, columns of the second projection], the sum over each token's pairs, likewise."""
    (M, k), E = ids.shape, first.weights.sizes[0]
    B = gemm_block_size(ids.size, E, max(int(a.shape[1]), first.columns))
    blocks = pair_blocks(ids, topk_weights, E, B)
    if not blocks.block_to_expert.size:
        return _zeros(a, (M, second.columns))
    pieces2 = second.pieces(first.columns, second.columns)
    width = pieces2.rows * PARTITIONS  # of what lies between: the second contraction has whole tiles
    pieces1 = first.pieces(int(a.shape[1]), width)
    options1 = first.options(dtype_of(a), width, B, k, False)
    options2 = second.options(dtype_of(a), second.columns, B, 1, blocks.has_gaps, k)
    tensors = *first.tensors(pieces1), *second.tensors(pieces2), *_tables(blocks, a)
    return launch(two_stage_moe, padded(a, pieces1.rows * PARTITIONS), *tensors, options1, options2)


def _tables(blocks: PairBlocks, a: Any) -> tuple[Any, ...]:
    return tuple(like(t, a) for t in (blocks.tokens, blocks.positions, blocks.weights, blocks.block_to_expert))


def _zeros(a: Any, shape: tuple[int, ...]) -> Any:
    return a.new_zeros(shape) if is_torch(a) else np.zeros(shape, a.dtype)
