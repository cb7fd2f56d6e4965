"""Token rows and weights of MX layers in two sets of tiles: the results of one set, to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_same_bits, check, plan_of, run

from nkimoe import BlockShardStrategy, ExpertAffinityScaleMode
from nkimoe.planning.mx import tiling
from nkisim.observe import Event, Finding, Observer

MX = Case(target="trn3", weights="mxfp4", T=300, H=512, I=96, E=3)
IN_LOOPS, ON_I, HYBRID = (
    replace(MX, variant=variant) for variant in ("shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid")
)
ON_BLOCK = replace(IN_LOOPS, conditions=None)
SMALL_BLOCKS = replace(ON_BLOCK, B=64)


def sets_of(case: Case) -> tuple[int, int]:
    """Of token rows, and of weights."""
    chosen = plan_of(case, build_inputs(case)).tiling
    return chosen.row_sets, chosen.weight_sets


class WeightLoads(Observer):
    """How often weights are loaded; those that are left out read nothing."""

    def __init__(self) -> None:
        self.made = 0

    def on_instruction(self, event: Event) -> list[Finding]:
        if any(access.storage.name == "down_proj_weight" for access in event.reads):
            self.made += 1
        return []


@cases(
    ON_BLOCK,
    replace(ON_BLOCK, B=200, T=450, scaling=ExpertAffinityScaleMode.PRE_SCALE),
    replace(ON_BLOCK, B=200, T=450, strategy=BlockShardStrategy.HI_LO),
    replace(IN_LOOPS, static_blocks=0, padding_blocks=16, B=64),
    replace(IN_LOOPS, E=20, T=500, static_blocks=3, padding_blocks=3),
    replace(ON_BLOCK, weights="mxfp8", coded_rows=True, cores=1),
    replace(ON_BLOCK, skip_token=False),
    ON_I,
    replace(HYBRID, E=20, T=500, static_blocks=2, padding_blocks=3),
)
def test_two_sets_of_token_rows_give_the_bits_of_one(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = check(case)
    assert sets_of(case)[0] == 2
    monkeypatch.setattr(tiling, "TILES_OF_TWO_SETS", 0)
    assert sets_of(case)[0] == 1
    assert_same_bits(outcome.output, run(case, outcome.inputs).output)


@cases(
    SMALL_BLOCKS,
    replace(SMALL_BLOCKS, routing="one_expert", K=1),
    replace(SMALL_BLOCKS, shuffled=True, E=5, B=32, strategy=BlockShardStrategy.HI_LO),
    replace(SMALL_BLOCKS, weights="mxfp8", cores=1, H=1024, I=640, T=150),
    replace(SMALL_BLOCKS, skip_weight=True, biases="none"),
    replace(ON_I, B=64, I=640),
)
def test_two_sets_of_weights_give_the_bits_of_one(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = check(case)
    assert sets_of(case)[1] == 2
    monkeypatch.setattr(tiling, "SLOTS_OF_TWO_EXPERTS", 0)
    assert sets_of(case)[1] == 1
    assert_same_bits(outcome.output, run(case, outcome.inputs).output)


def test_an_expert_of_many_small_blocks_is_loaded_into_each_set_once() -> None:
    case, seen = replace(SMALL_BLOCKS, routing="one_expert", K=1, T=640, cores=1, padding_blocks=0), WeightLoads()
    run(case, observers=[seen])
    assert seen.made == 2


@pytest.mark.parametrize(
    ("case", "sets"),
    [
        (ON_BLOCK, (2, 1)),
        (replace(ON_BLOCK, B=256), (2, 1)),
        (replace(ON_BLOCK, B=384), (1, 1)),
        (SMALL_BLOCKS, (2, 2)),
        (replace(SMALL_BLOCKS, H=4096, I=1024, E=1, weights="mxfp8"), (2, 1)),
    ],
    ids=str,
)
def test_the_plan_has_two_sets_where_they_pay_and_fit(case: Case, sets: tuple[int, int]) -> None:
    assert sets_of(case) == sets


@pytest.mark.parametrize(("looped", "row_sets"), [(15, 1), (16, 2)])
def test_a_loop_has_two_sets_of_rows_if_its_body_takes_both_equally_often(looped: int, row_sets: int) -> None:
    of_three_blocks = replace(IN_LOOPS, T=20, B=32, K=1, static_blocks=1)
    assert sets_of(replace(of_three_blocks, padding_blocks=looped - 2)) == (row_sets, 1)
