"""The down bias of a rank's columns: the outputs of all ranks add up to one whose bias is whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import check, run

from nkimoe import ExpertAffinityScaleMode, RequestError

SMALL = Case(T=60, H=512, I=96, biases="down", bias_degree=4, bias_rank=1)
VARIANTS = ("shard_on_block", "shard_on_i", "shard_on_i_hybrid", "shard_on_i_dropping")
ON_MX = [
    replace(SMALL, variant=variant, weights="mxfp8", target="trn3")
    for variant in ("shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid")
]
BOTH = [replace(SMALL, variant=variant) for variant in VARIANTS[:2]]


@cases(
    *(replace(SMALL, variant=variant, bias_rank=rank) for variant in VARIANTS for rank in (0, 3)),
    *(replace(case, weights=weights) for case in BOTH for weights in ("fp8-row", "fp8-static", "fp8-block", "int8")),
    *(replace(case, scaling=mode) for case in BOTH for mode in ExpertAffinityScaleMode),
    *(replace(case, multiply_on_i=True, biases="both") for case in BOTH),
    *(replace(case, H=384, bias_degree=3, bias_rank=1) for case in BOTH),  # columns of both cores
    *(replace(case, bias_degree=64, bias_rank=63, cores=1) for case in BOTH),
    *ON_MX,
)
def test_only_its_columns_are_added(case: Case) -> None:
    check(case)


@cases(*BOTH)
def test_ranks_add_up_to_the_whole_bias(case: Case) -> None:
    whole, zero = replace(case, bias_degree=1, values="dyadic"), replace(case, values="dyadic")
    inputs = build_inputs(whole)
    width = case.H // case.bias_degree
    total = np.zeros(inputs["hidden_states"].shape, np.float32)
    for rank in range(case.bias_degree):
        own = {**inputs, "down_proj_bias": inputs["down_proj_bias"][:, rank * width :][:, :width]}
        output = run(replace(zero, bias_rank=rank), own).output.astype(np.float32)
        columns = slice(rank * width, (rank + 1) * width)
        total[:, columns] = output[:, columns]
    np.testing.assert_array_equal(total, run(whole, inputs).output.astype(np.float32))


BAD: list[tuple[str, dict[str, Any]]] = [
    ("down_bias_tp_degree", {"down_bias_tp_degree": 3}),
    ("down_bias_tp_degree", {"down_bias_tp_degree": 0}),
    ("down_bias_tp_degree", {"down_bias_tp_degree": None}),
    ("down_bias_tp_rank", {"down_bias_tp_rank": 4}),
    ("down_bias_tp_rank", {"down_bias_tp_rank": None}),
    ("down_bias_tp_degree", {"down_proj_bias": None}),
    ("down_proj_bias", {"down_proj_bias": build_inputs(replace(SMALL, bias_degree=1))["down_proj_bias"]}),
]


@pytest.mark.parametrize(("argument", "changes"), BAD)
def test_what_means_nothing_is_refused(argument: str, changes: dict[str, Any]) -> None:
    inputs = {**build_inputs(SMALL), **{n: v for n, v in changes.items() if n == "down_proj_bias"}}
    with pytest.raises(RequestError) as caught:
        run(SMALL, inputs, **{n: v for n, v in changes.items() if n != "down_proj_bias"})
    assert caught.value.argument == argument
