# SPDX-License-Identifier: Apache-2.0
"""Slots that hold pairs: what is refused by shapes, and by values, which leave rows unwritten or write them twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nkimoe.errors import InputError, require
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import Request
from nkimoe.planning.targets import Target
from nkimoe.planning.variants import Variant
from nkimoe.spec import Pairs

FIX = "Build both with nkimoe.routing.pair_blocks."


def slot_pairs(request: Request, problem: Problem, variant: Variant, target: Target) -> None:
    """Slots that hold pairs bring their affinities along."""
    p, pairs = problem, request.pairs
    if pairs is None:
        return
    is_none, fix = request.expert_affinities_masked is None, "Pass None: affinities are pairs.weights."
    require(is_none, "expert_affinities_masked", "does not come beside pairs", "a tensor", fix)
    for name, tensor, dtype in (("positions", pairs.positions, "int32"), ("weights", pairs.weights, "float32")):
        shape = tuple(int(n) for n in getattr(tensor, "shape", ()))
        rule = f"is {dtype} [{p.N * p.B}], of each slot"
        fix = "Take it from nkimoe.routing.pair_blocks."
        require(shape == (p.N * p.B,), f"pairs.{name}", rule, shape or repr(tensor), fix)
        require(str(tensor.dtype) == dtype, f"pairs.{name}", rule, str(tensor.dtype), "Cast it.")
    k = pairs.choices
    is_count = isinstance(k, int) and not isinstance(k, bool) and k > 0
    require(is_count, "pairs.choices", "is a positive int", repr(k), "Pass the router's top-k.")
    require(p.rows * k < 2**24, "pairs.choices", "times T is below 2**24", f"{k} x {p.rows}", "Split T.")
    fix = "Pass skip_dma=SkipMode(skip_token=True)."
    require(request.skip_dma.skip_token, "pairs", "comes with pad ids of -1", "pad ids of T", fix)
    config: Any = request.spec.shard_on_block
    is_one = config is None or not (config.per_core_output or config.non_overlapping_shards)
    fix = "Drop per_core_output and non_overlapping_shards."
    require(is_one, "pairs", "excludes other forms of the output", "both", fix)


def check_pairs(pairs: Pairs, ids: npt.NDArray[Any], tokens: int) -> None:
    """Each slot with a token holds one of its pairs, no pair has two slots, and none lacks one unless it says so.

    Tables of other types or sizes pass: `validate` reports them.

    Args:
        ids: int [N * B], the token of each slot, or a pad.
        tokens: T.

    Raises:
        InputError: the tables disagree.
    """
    if not _is_well_formed(pairs, ids.size):
        return
    positions, weights = np.asarray(pairs.positions), np.asarray(pairs.weights)
    is_real = (ids >= 0) & (ids < tokens)
    wrong = np.flatnonzero(np.where(is_real, positions // pairs.choices != ids, positions < tokens * pairs.choices))
    if wrong.size:
        at = int(wrong[0])
        rule = f"holds token * {pairs.choices} + choice, and {tokens * pairs.choices} or more in pads"
        raise InputError("pairs.positions", rule, f"{int(positions[at])} at {at}, token {int(ids[at])}", FIX)
    slots = np.bincount(positions[is_real], minlength=tokens * pairs.choices)
    _require_none("names a pair once", slots > 1, "twice")
    if not pairs.has_gaps:
        _require_none("has a slot for each pair, without has_gaps", slots == 0, "without one")
    bad = np.flatnonzero(~np.isfinite(weights))
    if bad.size:
        found, fix = f"{weights[bad[0]]} at {int(bad[0])}", f"Clean the {bad.size} bad elements."
        raise InputError("pairs.weights", "is finite", found, fix)


def _require_none(rule: str, bad: npt.NDArray[Any], how: str) -> None:
    if bad.any():
        raise InputError("pairs.positions", rule, f"pair {int(np.flatnonzero(bad)[0])} {how}", FIX)


def _is_well_formed(pairs: Pairs, slots: int) -> bool:
    """Whether sizes and types say how to read the values."""
    tables = (pairs.positions, "int32"), (pairs.weights, "float32")
    is_count = isinstance(pairs.choices, (int, np.integer)) and pairs.choices > 0
    return bool(is_count) and all(
        isinstance(table, np.ndarray) and table.size == slots and str(table.dtype) == dtype for table, dtype in tables
    )
