"""What the tuner tries, and what it writes down."""

from dataclasses import replace

import pytest
from support.tuned_rows import LAYER

from nkimoe import RequestError
from nkimoe.planning.grouped_gemm.choice import Split
from nkimoe.tuning.operand_types import OperandTypes
from nkimoe.tuning.search import best_row, space_of
from nkimoe.tuning.stages import Stages

SMALL = replace(LAYER, token=16, model_dim=256, inter_dim=256)


def steps_of(stages):
    space, steps = space_of(stages), []
    return best_row(stages, space, lambda: steps.append(1)), sum(map(len, space)), len(steps)


def test_a_row_holds_the_best_choice_and_its_times():
    stages = Stages(SMALL, "trn2", 2)
    row, tried, steps = steps_of(stages)
    assert steps == tried + 2
    assert row.key == ("trn2", 2, SMALL)
    for stage, (choice, time) in enumerate(zip(row.choices, row.stages, strict=True)):
        assert choice in space_of(stages)[stage]
        assert stages.predict(stage, choice).latency_us == time.us
        assert time.low <= time.us <= time.high
    assert row.whole.us == stages.predict_all(row.choices).latency_us
    assert row.whole.us <= stages.predict_all(stages.default).latency_us


def test_every_choice_says_all_and_no_two_are_the_same():
    stages = Stages(replace(LAYER, token=1024, model_dim=1024, inter_dim=512), "trn2", 2)
    for stage in space_of(stages):
        assert None not in {value for choice in stage for value in (choice.at_once, choice.split)}
        assert len(set(stage)) == len(stage)
        assert {choice.block_size for choice in stage} == {128, 256, 512, stages.default[0].block_size}
        assert {choice.split for choice in stage} == {Split.BLOCKS, Split.COLUMNS}


def test_whole_blocks_are_tried_where_the_weights_of_an_expert_do_not_fit():
    stages = Stages(replace(LAYER, token=512, model_dim=4096, inter_dim=1024), "trn2", 2)
    assert {choice.split for choice in space_of(stages)[0]} == set(Split)


def test_one_core_shares_nothing():
    for stage in space_of(Stages(SMALL, "trn2", 1)):
        assert len({(choice.block_size, choice.width, choice.at_once) for choice in stage}) == len(stage)


def test_the_default_is_tried():
    stages = Stages(replace(LAYER, token=2048, model_dim=1024, inter_dim=512), "trn2", 2)
    for stage, default in enumerate(stages.default):
        plan = stages.plan(stage, default)
        assert replace(default, at_once=plan.at_once, split=plan.split) in space_of(stages)[stage]


@pytest.mark.parametrize(
    "types",
    [("int8", "int8", "per_token"), ("bfloat16", "int8", "per_token"), ("bfloat16", "int4", "per_1x32"),
     ("float8_e4m3", "float8_e4m3", "per_tensor"), ("bfloat16", "float8_e5m2", "per_token")],
    ids=str,
)  # fmt: skip
def test_every_quantisation_can_be_predicted(types):
    named = dict(zip(OperandTypes._fields, types, strict=True))
    stages = Stages(replace(SMALL, act_type="swiglu", doweight_stage1=True, **named), "trn2", 2)
    assert stages.predict_all(stages.default).latency_us > 0


def test_a_single_projection_has_one_stage():
    layer = replace(SMALL, act_type="gelu", use_g1u1=False)
    row, tried, steps = steps_of(Stages(layer, "trn2", 1))
    assert (len(row.choices), len(row.stages), steps) == (1, 1, tried + 2)
    assert row.stages[0] == row.whole


def test_a_type_that_the_target_does_not_multiply_is_refused():
    layer = replace(SMALL, q_dtype_w="float8_e4m3fn", q_type="per_token")
    with pytest.raises(RequestError, match="b: is float8_e4m3, float8_e5m2 on trn2"):
        space_of(Stages(layer, "trn2", 2))
