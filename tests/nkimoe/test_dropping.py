"""shard_on_i_dropping: the capacity layout, one block of any size for each expert."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import check, plan_of, run

from nkimoe import ExpertAffinityScaleMode, InputError, RequestError

DROPPING = Case(variant="shard_on_i_dropping", T=300, H=256, I=80)


@cases(
    *(replace(DROPPING, B=B) for B in (1, 16, 100, 128, 200, 384, 640)),
    *(replace(DROPPING, B=B, skip_token=False, cores=1) for B in (100, 300)),
    replace(DROPPING, B=1100, T=600, H=384, I=48),
    replace(DROPPING, B=150, weights="fp8-row"),
    replace(DROPPING, B=150, weights="fp8-static", fp8_inputs="both"),
    replace(DROPPING, B=150, multiply_on_i=True),
    replace(DROPPING, B=150, E=2, K=2, H=3072, I=3600, T=200),
    *(replace(DROPPING, B=90, scaling=mode) for mode in ExpertAffinityScaleMode),
    slow=(replace(DROPPING, B=2100, T=2100, E=2, K=1, H=1536, I=6144),),
)
def test_every_capacity(case: Case) -> None:
    outcome = check(case)
    assert len(outcome.checkpoints) == (1 if case.multiply_on_i else 2)


def test_one_block_an_expert() -> None:
    case = replace(DROPPING, B=128)
    inputs = build_inputs(replace(case, variant="shard_on_i"))
    with pytest.raises(RequestError, match="one block an expert") as caught:
        plan_of(case, inputs)
    assert caught.value.argument == "block_to_expert"
    inputs = build_inputs(case)
    with pytest.raises(InputError, match="block b") as other:
        run(case, {**inputs, "block_to_expert": np.roll(inputs["block_to_expert"], 1)})
    assert other.value.argument == "block_to_expert"
