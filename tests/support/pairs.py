"""Slots of a case as pairs (token, choice), for calls that keep a row for each choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe import Pairs
from support.case import Case
from support.inputs import build_inputs
from support.launch import assert_matches, reference, run


def check_pairs(case: Case) -> None:
    """What rows of choices add up to, beside the definition."""
    inputs = build_inputs(case)
    assert_matches(run(case, with_pairs(case, inputs)), reference(case, inputs))


def with_pairs(case: Case, inputs: dict[str, Any], rounds_each: bool = True) -> dict[str, Any]:
    """The inputs with pairs in place of affinities: the choices of a token are its slots, by number of expert."""
    ids = np.asarray(inputs["token_position_to_id"]).reshape(-1)
    experts = np.repeat(np.asarray(inputs["block_to_expert"]).reshape(-1), case.B)
    is_real, k = (ids >= 0) & (ids < case.T), min(case.K, case.E)
    positions, weights = np.full(ids.size, case.T * k, np.int32), np.zeros(ids.size, np.float32)
    table = np.asarray(inputs["expert_affinities_masked"]).reshape(-1, case.E).astype(np.float32)
    slots = np.flatnonzero(is_real)
    choices = np.zeros(case.T, np.int32)
    for slot in slots[np.lexsort((experts[slots], ids[slots]))]:
        token = ids[slot]
        positions[slot] = token * k + choices[token]
        weights[slot] = table[token, experts[slot]]
        choices[token] += 1
    runs = np.ones(ids.size, bool)
    if inputs.get("conditions") is not None:
        runs = np.repeat(inputs["conditions"][: ids.size // case.B] > 0, case.B)
    has_gaps = bool((is_real & runs).sum() < case.T * k)
    pairs = Pairs(positions, weights, k, rounds_each, has_gaps)
    return {**inputs, "expert_affinities_masked": None, "pairs": pairs}
