"""Activation checkpoints hold what the backward pass needs, in every dense variant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.case import Case, cases
from support.checkpoints import check_checkpoints
from support.inputs import DTYPES
from support.launch import assert_same_bits, run

from nkimoe import BlockShardStrategy, ExpertAffinityScaleMode

VARIANTS = ("shard_on_block", "shard_on_i", "shard_on_i_hybrid", "shard_on_i_dropping")
BASE = [Case(variant=v, T=150, H=256, I=208, checkpoints=v != "shard_on_i_dropping") for v in VARIANTS]


@cases(
    *BASE,
    *(replace(case, multiply_on_i=True) for case in BASE),
    *(replace(case, gate_upper=0.4, gate_lower=-0.6, up_upper=0.5, up_lower=-0.2, up_offset=1.0) for case in BASE),
    *(replace(case, biases="none", cores=1, skip_token=False) for case in BASE),
    *(replace(case, B=200, H=384) for case in BASE),
    *(replace(case, B=640, T=700, I=80) for case in BASE),
    *(replace(case, weights="fp8-row") for case in BASE),
    *(replace(case, weights="fp8-static", fp8_inputs="both", up_lower=-1.0) for case in BASE),
    *(replace(case, skip_gate=True) for case in BASE),
    *(replace(case, scaling=ExpertAffinityScaleMode.PRE_SCALE) for case in BASE),
    *(replace(case, dtype="float16", scaling=ExpertAffinityScaleMode.NO_SCALE) for case in BASE),
    replace(BASE[1], H=4096, I=3200, E=2, K=1),
    *(
        replace(BASE[0], conditions=1, static_blocks=1, padding_blocks=n, strategy=strategy)
        for n in (2, 3)
        for strategy in BlockShardStrategy
    ),
)
def test_checkpoints_agree_with_the_reference(case: Case) -> None:
    check_checkpoints(run(case))


@cases(*(replace(case, padding_blocks=3) for case in BASE[:3]))
def test_padding_blocks_have_finite_checkpoints(case: Case) -> None:
    check_checkpoints(run(case))


@cases(*(replace(case, checkpoints=False) for case in BASE))
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_buffers_of_the_caller_are_filled_and_returned(case: Case, dtype: str) -> None:
    returned = run(replace(case, checkpoints=case.variant != "shard_on_i_dropping"))
    buffers: dict[str, Any] = {
        name: np.full(tensor.shape, 7, DTYPES[dtype])
        for name, tensor in zip(("gate_up_activations_T", "down_activations"), returned.checkpoints, strict=True)
    }
    outcome = run(case, **buffers)
    assert_same_bits(outcome.output, returned.output)
    for buffer, given, expected in zip(buffers.values(), outcome.checkpoints, returned.checkpoints, strict=True):
        assert_same_bits(buffer, given)
        assert_same_bits(given.astype(expected.dtype), expected)


@cases(*BASE[:2])
def test_keeping_activations_changes_no_result(case: Case) -> None:
    assert_same_bits(run(case).output, run(replace(case, checkpoints=False)).output)
