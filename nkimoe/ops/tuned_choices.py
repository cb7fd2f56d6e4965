# SPDX-License-Identifier: Apache-2.0
"""Which row of a tuned table a call looks up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nkimoe.errors import require
from nkimoe.ops.pair_slots import block_count, pair_count, used_experts
from nkimoe.ops.projection import Projection
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.planning.grouped_gemm.choice import BlockCount, GemmChoice, default_choices
from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.planning.grouped_gemm.request import Weighting
from nkimoe.tuning.layer_key import EPILOGUES, LayerKey
from nkimoe.tuning.operand_types import Q_TYPES, operand_types
from nkimoe.tuning.table import TunedRows
from nkimoe.tuning.tuned_row import TunedRow

ACT_TYPES = {epilogue: act_type for (act_type, _), epilogue in EPILOGUES.items()}


def check_tuned(tuned: Any) -> None:
    """Raises RequestError unless it is rows of a table, or None."""
    is_right = tuned is None or isinstance(tuned, TunedRows)
    fix = 'Pass nkimoe.tuning.read_table(path).on("trn2", 2).'
    require(is_right, "tuned", "is TunedRows or None", type(tuned).__name__, fix)


def layer_of(dtype: str, K: int, first: Projection, ids: Any) -> LayerKey:
    """The layer that begins with this projection of rows of K columns of a type.

    Raises:
        RequestError: aiter's tables have no name for the quantisation.
    """
    (tokens, top_k), weights, epilogue = ids.shape, first.weights, first.epilogue
    given = weights.given
    is_known = given.group_size is not None or given.quantization in Q_TYPES
    require(is_known, "tuned", f"is for {', '.join(Q_TYPES)} and int4", given.quantization, "Drop the table.")
    types = operand_types(given.quantization, dtype, dtype_of(weights.b), first.row_codes, given.group_size)
    return LayerKey(
        tokens, K, first.columns, weights.sizes[0], top_k, ACT_TYPES[epilogue.kind], dtype, *types,
        epilogue.halves == 2, epilogue.weighting in (Weighting.BEFORE, Weighting.ROUNDED),
    )  # fmt: skip


def choices_for(
    tuned: TunedRows | None, dtype: str, first: Projection, ids: Any, projections: Sequence[ProjectionSizes]
) -> tuple[GemmChoice, ...]:
    """Those of the row of the layer that begins with a projection of rows of a type."""
    row = None if tuned is None else tuned.row(layer_of(dtype, projections[0].K, first, ids))
    experts = first.weights.sizes[0]
    return choices_of(row, pair_count(ids), used_experts(ids, experts), projections, block_count(ids, experts))


def choices_of(
    row: TunedRow | None, pairs: int, experts: int, projections: Sequence[ProjectionSizes],
    blocks: BlockCount | None = None,
) -> tuple[GemmChoice, ...]:  # fmt: skip
    """Those of a row, or the default ones where there is none; `blocks` as of `default_choices`."""
    return default_choices(pairs, experts, projections, blocks) if row is None else row.choices[: len(projections)]
