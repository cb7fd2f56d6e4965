"""Launches of grouped GEMMs: slots and layouts are made on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nkimoe.arrays import Array
from nkimoe.ops.expert_arguments import padded
from nkimoe.ops.gemm_quantisation import FP8_W8A8
from nkimoe.ops.gemm_rows import GemmRows
from nkimoe.ops.gemm_weights import GemmWeights
from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.launch import Launch
from nkimoe.ops.routing_tensors import dtype_of, like
from nkimoe.planning.grouped_gemm.pieces import ColumnPieces, gemm_block_size
from nkimoe.planning.grouped_gemm.request import HALVED, SWIGLU, GemmOptions, Weighting
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
from nkimoe.weights.host_array import is_torch
from nkimoe.weights.int8 import LARGEST


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

    @property
    def interleaved(self) -> bool:
        """The halves of the product are its even and its odd columns."""
        return self.epilogue.kind == SWIGLU

    def pieces(self, K: int, columns: int) -> ColumnPieces:
        """How weights for rows of K columns are cut; `columns` are those of the result, with zeros behind its own."""
        return self.weights.pieces(K, columns, self.epilogue.halves)

    def tensors(self, pieces: ColumnPieces) -> tuple[Any, ...]:
        """(b, group_scale, group_zero, scale, bias), as the kernel takes them."""
        return self.weights.tensors(pieces, self.interleaved)

    def a_scale(self) -> Any:
        """fp32 [1, 1] of rows that become e4m3 with one scale; else None."""
        given = self.weights.given
        return given.a_scale.reshape(1, 1) if given.quantization == FP8_W8A8 else None

    def options(self, pieces: ColumnPieces, launch: Slots, result: Results, least: int = -int(LARGEST)) -> GemmOptions:
        """Constants of the launch.

        Args:
            least: of the codes of a.
        """
        e, weights = self.epilogue, self.weights
        runs = weights.runs(pieces, self.interleaved)
        return GemmOptions(
            launch.block_size, launch.dtype, result.dtype, result.columns, launch.choices, launch.has_gaps, e.kind,
            e.weighting, e.alpha, e.limit, e.add_residual, weights.given.row_codes(dtype_of(weights.b)),
            weights.exact_rows(least), None if runs is None else tuple(tuple(own for own, _ in each) for each in runs),
            result.summed,
        )  # fmt: skip


class Slots(NamedTuple):
    """What a GEMM is told of its rows, as `GemmOptions` has it; `dtype` is that of matmul operands."""

    block_size: int
    dtype: str
    choices: int
    has_gaps: bool


class Results(NamedTuple):
    """What becomes of results, as `GemmOptions` has it.

    Attributes:
        factor: as `GemmRequest` has it.
    """

    dtype: str
    factor: Any
    columns: int
    summed: int | None = None


def run_grouped(
    launch: Launch, rows: GemmRows, projection: Projection, ids: Array, topk_weights: Array, result: Results
) -> Any:
    """Results [rows * k, columns], or their sums, of checked arguments; ids and topk_weights [rows, k] on the host."""
    k, K, E = int(ids.shape[1]), int(rows.a.shape[1]), projection.weights.sizes[0]
    B = gemm_block_size(ids.size, E, K)
    blocks = pair_blocks(ids, topk_weights, E, B)
    if not blocks.block_to_expert.size:
        return _zeros(rows.a, (ids.size // (result.summed or 1), result.columns), result.dtype)
    pieces = projection.pieces(K, result.columns)
    options = projection.options(pieces, Slots(B, rows.dtype, k, blocks.has_gaps), result, rows.least)
    return launch(
        grouped_gemm, rows.tensor(pieces.rows * PARTITIONS), projection.a_scale(), *projection.tensors(pieces),
        result.factor, *_tables(blocks, rows.a), options,
    )  # fmt: skip


def run_two_stages(
    launch: Launch, a: Any, first: Projection, second: Projection, ids: Array, topk_weights: Array
) -> Any:
    """[M, columns of the second projection], the sum over each token's pairs, likewise."""
    (M, k), E, dtype = ids.shape, first.weights.sizes[0], dtype_of(a)
    B = gemm_block_size(ids.size, E, max(int(a.shape[1]), first.columns))
    blocks = pair_blocks(ids, topk_weights, E, B)
    if not blocks.block_to_expert.size:
        return _zeros(a, (M, second.columns), dtype)
    pieces2 = second.pieces(first.columns, second.columns)
    width = pieces2.rows * PARTITIONS  # of what lies between: the second contraction has whole tiles
    pieces1 = first.pieces(int(a.shape[1]), width)
    options1 = first.options(pieces1, Slots(B, dtype, k, False), Results(dtype, None, width))
    options2 = second.options(pieces2, Slots(B, dtype, 1, blocks.has_gaps), Results(dtype, None, second.columns, k))
    of_first = padded(a, pieces1.rows * PARTITIONS), first.a_scale(), *first.tensors(pieces1)
    of_second = second.a_scale(), *second.tensors(pieces2)
    return launch(two_stage_moe, *of_first, *of_second, *_tables(blocks, a), options1, options2)


def _tables(blocks: PairBlocks, a: Any) -> tuple[Any, ...]:
    return tuple(like(t, a) for t in (blocks.tokens, blocks.positions, blocks.weights, blocks.block_to_expert))


def _zeros(a: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if is_torch(a):
        import torch

        return a.new_zeros(shape, dtype=getattr(torch, dtype))
    return np.zeros(shape, dtype)
