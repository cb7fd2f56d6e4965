"""Launches of grouped GEMMs: slots and layouts are made on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.ops.expert_arguments import padded
from nkimoe.ops.gemm_rows import GemmRows
from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.launch import Launch
from nkimoe.ops.projection import Projection, Results, Slots
from nkimoe.ops.routing_tensors import dtype_of, like
from nkimoe.ops.tuned_choices import choices_for
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
from nkimoe.tuning.table import TunedRows
from nkimoe.weights.host_array import is_torch


def run_grouped(
    launch: Launch, rows: GemmRows, projection: Projection, ids: Array, topk_weights: Array, result: Results,
    tuned: TunedRows | None,
) -> Any:  # fmt: skip
    """Results [rows * k, columns], or their sums, of checked arguments; ids and topk_weights [rows, k] on the host."""
    k, K, E = int(ids.shape[1]), int(rows.a.shape[1]), projection.weights.sizes[0]
    sizes = projection.sizes(K, result.columns)
    (choice,) = choices_for(tuned, rows.dtype, projection, ids, [sizes])
    blocks = pair_blocks(ids, topk_weights, E, choice.block_size)
    if not blocks.block_to_expert.size:
        return _zeros(rows.a, (ids.size // (result.summed or 1), result.columns), result.dtype)
    pieces = sizes.pieces(choice.width)
    options = projection.options(pieces, Slots(choice, rows.dtype, k, blocks.has_gaps), result, rows.least)
    return launch(
        grouped_gemm, rows.tensor(pieces.rows * PARTITIONS), projection.a_scale(), *projection.tensors(pieces),
        result.factor, *_tables(blocks, rows.a), options,
    )  # fmt: skip


def run_two_stages(
    launch: Launch, a: Any, first: Projection, second: Projection, ids: Array, topk_weights: Array,
    tuned: TunedRows | None,
) -> Any:  # fmt: skip
    """[M, columns of the second projection], the sum over each token's pairs, likewise."""
    (M, k), E, dtype = ids.shape, first.weights.sizes[0], dtype_of(a)
    sizes2 = second.sizes(first.columns, second.columns)
    width = sizes2.rows * PARTITIONS  # of what lies between: the second contraction has whole tiles
    sizes1 = first.sizes(int(a.shape[1]), width)
    choice1, choice2 = choices_for(tuned, dtype, first, ids, [sizes1, sizes2])
    blocks = pair_blocks(ids, topk_weights, E, choice1.block_size)
    if not blocks.block_to_expert.size:
        return _zeros(a, (M, second.columns), dtype)
    pieces1, pieces2 = sizes1.pieces(choice1.width), sizes2.pieces(choice2.width)
    reads_all = second.row_codes == "int8"  # rows are quantised before they are gathered
    slots1 = Slots(choice1, dtype, k, blocks.has_gaps and reads_all)
    options1 = first.options(pieces1, slots1, Results(dtype, None, width))
    slots2 = Slots(choice2, dtype, 1, blocks.has_gaps)
    options2 = second.options(pieces2, slots2, Results(dtype, None, second.columns, k))
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
