"""Launches of grouped GEMMs: slots and layouts are made on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.ops.expert_arguments import padded
from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.launch import Launch
from nkimoe.ops.projection import Projection
from nkimoe.ops.routing_tensors import dtype_of, like
from nkimoe.ops.tuned_choices import choices_for, layer_of
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.routing.pair_blocks import PairBlocks, pair_blocks
from nkimoe.tuning.table import TunedRows
from nkimoe.weights.host_array import is_torch


def run_grouped(
    launch: Launch, a: Any, projection: Projection, ids: Array, topk_weights: Array, tuned: TunedRows | None
) -> Any:
    """c [M, k, columns] of checked arguments; ids and topk_weights [M, k] on the host."""
    (M, k), columns, E = ids.shape, projection.columns, projection.weights.sizes[0]
    sizes = projection.sizes(int(a.shape[1]), columns)
    (choice,) = choices_for(tuned, layer_of(a, projection, ids), [sizes])
    blocks = pair_blocks(ids, topk_weights, E, choice.block_size)
    if not blocks.block_to_expert.size:
        return _zeros(a, (M, k, columns))
    pieces = sizes.pieces(choice.width)
    a_scale, *tensors = projection.tensors(pieces)
    options = projection.options(dtype_of(a), columns, choice, k, blocks.has_gaps)
    rows = padded(a, pieces.rows * PARTITIONS)
    return launch(grouped_gemm, rows, a_scale, *tensors, *_tables(blocks, a), options).reshape(M, k, columns)


def run_two_stages(
    launch: Launch, a: Any, first: Projection, second: Projection, ids: Array, topk_weights: Array,
    tuned: TunedRows | None,
) -> Any:  # fmt: skip
    """[M, columns of the second projection], the sum over each token's pairs, likewise."""
    (M, k), E = ids.shape, first.weights.sizes[0]
    sizes2 = second.sizes(first.columns, second.columns)
    width = sizes2.rows * PARTITIONS  # of what lies between: the second contraction has whole tiles
    sizes1 = first.sizes(int(a.shape[1]), width)
    choice1, choice2 = choices_for(tuned, layer_of(a, first, ids), [sizes1, sizes2])
    blocks = pair_blocks(ids, topk_weights, E, choice1.block_size)
    if not blocks.block_to_expert.size:
        return _zeros(a, (M, second.columns))
    pieces1, pieces2 = sizes1.pieces(choice1.width), sizes2.pieces(choice2.width)
    reads_all = second.weights.row_codes == "int8"  # rows are quantised before they are gathered
    options1 = first.options(dtype_of(a), width, choice1, k, blocks.has_gaps and reads_all)
    options2 = second.options(dtype_of(a), second.columns, choice2, 1, blocks.has_gaps, k)
    tensors = *first.tensors(pieces1), *second.tensors(pieces2), *_tables(blocks, a)
    return launch(two_stage_moe, padded(a, pieces1.rows * PARTITIONS), *tensors, options1, options2)


def _tables(blocks: PairBlocks, a: Any) -> tuple[Any, ...]:
    return tuple(like(t, a) for t in (blocks.tokens, blocks.positions, blocks.weights, blocks.block_to_expert))


def _zeros(a: Any, shape: tuple[int, ...]) -> Any:
    return a.new_zeros(shape) if is_torch(a) else np.zeros(shape, a.dtype)
