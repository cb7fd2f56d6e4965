"""Which row of a tuned table a call looks up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nkimoe.arrays import Array
from nkimoe.errors import require
from nkimoe.ops.projection import Projection
from nkimoe.ops.routing_tensors import dtype_of
from nkimoe.planning.grouped_gemm.choice import GemmChoice, default_choices
from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.planning.grouped_gemm.request import Weighting
from nkimoe.tuning.layer_key import EPILOGUES, LayerKey
from nkimoe.tuning.operand_types import operand_types
from nkimoe.tuning.table import TunedRows

ACT_TYPES = {epilogue: act_type for (act_type, _), epilogue in EPILOGUES.items()}


def check_tuned(tuned: Any) -> None:
    """Raises RequestError unless it is rows of a table, or None."""
    is_right = tuned is None or isinstance(tuned, TunedRows)
    fix = 'Pass nkimoe.tuning.read_table(path).on("trn2", 2).'
    require(is_right, "tuned", "is TunedRows or None", type(tuned).__name__, fix)


def layer_of(a: Any, first: Projection, ids: Array) -> LayerKey:
    """The layer that begins with this projection of rows of a."""
    (tokens, top_k), weights, epilogue = ids.shape, first.weights, first.epilogue
    dtype, given = dtype_of(a), weights.given
    types = operand_types(given.quantization, dtype, dtype_of(weights.b), weights.row_codes, given.group_size)
    return LayerKey(
        tokens, int(a.shape[1]), first.columns, weights.sizes[0], top_k, ACT_TYPES[epilogue.kind], dtype, *types,
        epilogue.halves == 2, epilogue.weighting in (Weighting.BEFORE, Weighting.ROUNDED),
    )  # fmt: skip


def choices_for(
    tuned: TunedRows | None, layer: LayerKey, projections: Sequence[ProjectionSizes]
) -> tuple[GemmChoice, ...]:
    """Those of its row, or the default ones where there is none."""
    row = None if tuned is None else tuned.row(layer)
    if row is None:
        return default_choices(layer.token * layer.topk, layer.expert, projections)
    return row.choices[: len(projections)]
