# SPDX-License-Identifier: Apache-2.0
"""Scales of tokens that slots look up on chip: the same results as with scales behind the codes, and fewer bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_same_bits, check, run

from nkimoe import BlockShardStrategy
from nkimoe.planning import plan
from nkisim.observe import Recorder

SMALL = Case(T=60, weights="int8", int8_inputs=True)
LARGE = replace(SMALL, T=1024, H=256, I=32, E=3, K=2, biases="none")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with few tokens."""
    monkeypatch.setattr(plan, "LOOKED_UP", range(1, 16385))


@cases(
    SMALL,
    replace(SMALL, T=1, K=1),
    replace(SMALL, skip_token=False),
    replace(SMALL, T=300, strategy=BlockShardStrategy.HI_LO),
    replace(SMALL, multiply_on_i=True),
    *(replace(SMALL, B=B, T=T) for B, T in ((65, 90), (100, 150), (256, 300), (600, 700))),
    replace(SMALL, H=1152, I=600, cores=1),
    replace(SMALL, variant="shard_on_i", H=384, I=101, B=100),
    replace(SMALL, variant="shard_on_i_hybrid", T=600, E=3, static_blocks=1),
    *(replace(SMALL, T=300, static_blocks=static, conditions=1) for static in (0, 1, 3)),
    replace(SMALL, T=900, E=2, K=1, B=600, static_blocks=0, conditions=1),
    replace(SMALL, T=900, E=9, static_blocks=1, conditions=1, padding_blocks=4, shuffled=True),
)
def test_slots_find_the_scales_of_their_tokens(case: Case, always: None) -> None:
    check(case)


def test_both_ways_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = build_inputs(LARGE)
    looked_up = check(LARGE)
    monkeypatch.setattr(plan, "LOOKED_UP", range(0))
    assert_same_bits(run(LARGE, inputs).output, looked_up.output)


@pytest.mark.parametrize(("changes", "looked_up"), [({}, True), ({"T": 1023}, False), ({"B": 64}, False)])
def test_scales_are_looked_up_where_many_tokens_meet_large_blocks(changes: dict[str, int], looked_up: bool) -> None:
    recorder = Recorder()
    run(replace(LARGE, **changes), observers=[recorder])
    assert any(event.opcode == "local_gather" for event in recorder.events) == looked_up
