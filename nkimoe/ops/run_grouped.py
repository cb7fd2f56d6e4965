# SPDX-License-Identifier: Apache-2.0
"""Launches of grouped GEMMs: layouts are made on the host, slots where the ids are."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.ops.expert_arguments import padded
from nkimoe.ops.gemm_rows import GemmRows
from nkimoe.ops.gemm_tables import gemm_tables
from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.ops.launch import Launch
from nkimoe.ops.pair_slots import pair_count, pair_slots
from nkimoe.ops.projection import Projection, Results, Slots
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.ops.tuned_choices import choices_for
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.tuning.table import TunedRows
from nkimoe.weights.host_array import is_torch


def run_grouped(
    launch: Launch, rows: GemmRows, projection: Projection, ids: Any, topk_weights: Any, result: Results,
    tuned: TunedRows | None,
) -> Any:  # fmt: skip
    """Results [rows * k, columns], or their sums; ids and topk_weights [rows, k] as of `check_routing`."""
    k, K, E = int(ids.shape[1]), int(rows.a.shape[1]), projection.weights.sizes[0]
    sizes = projection.sizes(K, result.columns)
    (choice,) = choices_for(tuned, rows.dtype, projection, ids, [sizes])
    pairs = pair_slots(ids, topk_weights, E, choice.block_size, rows.a)
    if pairs is None:
        return _zeros(rows.a, (pair_count(ids) // (result.summed or 1), result.columns), result.dtype)
    pieces = sizes.pieces(choice.width)
    options = projection.options(Slots(choice, rows.dtype, k, pairs.has_gaps), result, rows.least)
    return launch(
        grouped_gemm, rows.tensor(pieces.rows * PARTITIONS), projection.a_scale(), *projection.tensors(pieces),
        result.factor, *gemm_tables(pairs, choice.block_size), options,
    )  # fmt: skip


def run_two_stages(
    launch: Launch, a: Any, first: Projection, second: Projection, ids: Any, topk_weights: Any,
    tuned: TunedRows | None,
) -> Any:  # fmt: skip
    """[M, columns of the second projection], the sum over each token's pairs, likewise."""
    (M, k), E, dtype = map(int, ids.shape), first.weights.sizes[0], dtype_of(a)
    sizes2 = second.sizes(first.columns, second.columns)
    width = sizes2.rows * PARTITIONS  # of what lies between: the second contraction has whole tiles
    sizes1 = first.sizes(int(a.shape[1]), width)
    choice1, choice2 = choices_for(tuned, dtype, first, ids, [sizes1, sizes2])
    pairs = pair_slots(ids, topk_weights, E, choice1.block_size, a)
    if pairs is None:
        return _zeros(a, (M, second.columns), dtype)
    pieces1, pieces2 = sizes1.pieces(choice1.width), sizes2.pieces(choice2.width)
    reads_all = second.row_codes == "int8"  # rows are quantised before they are gathered
    slots1 = Slots(choice1, dtype, k, pairs.has_gaps and reads_all)
    options1 = first.options(slots1, Results(dtype, None, width))
    slots2 = Slots(choice2, dtype, 1, pairs.has_gaps)
    options2 = second.options(slots2, Results(dtype, None, second.columns, k))
    of_first = padded(a, pieces1.rows * PARTITIONS), first.a_scale(), *first.tensors(pieces1)
    of_second = second.a_scale(), *second.tensors(pieces2)
    tables = gemm_tables(pairs, choice1.block_size)
    return launch(two_stage_moe, *of_first, *of_second, *tables, options1, options2)


def _zeros(a: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if is_torch(a):
        import torch

        return a.new_zeros(shape, dtype=getattr(torch, dtype))
    return np.zeros(shape, dtype)
