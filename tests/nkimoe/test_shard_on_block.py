"""shard_on_block agrees with the reference: pads, block assignment, cores, routing, output forms, weight reuse."""

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs, route
from support.launch import assert_matches_reference, assert_same_bits, check, run

from nkimoe import BlockShardStrategy, ExpertAffinityScaleMode

HI_LO, PING_PONG = BlockShardStrategy.HI_LO, BlockShardStrategy.PING_PONG
SMALL = Case(T=60, H=128, I=48)

# Pad conventions ------------------------------------------------------------------------------------------------------


@cases(
    Case(),
    Case(skip_token=False),
    Case(skip_token=False, cores=1),
    Case(skip_token=False, K=1, accumulating=False),
    replace(SMALL, T=1, K=1),
    replace(SMALL, T=1, K=1, skip_token=False),
    replace(SMALL, T=1, K=4, E=4),
    replace(SMALL, T=127, K=1, E=1),
    replace(SMALL, T=128, K=1, E=1, padding_blocks=0),
    replace(SMALL, T=129, K=1, E=1, skip_token=False),
    replace(SMALL, T=257, E=3),
)
def test_pad_slots_contribute_nothing_in_either_convention(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("scaling", ExpertAffinityScaleMode, ids=lambda mode: mode.name)
@pytest.mark.parametrize("accumulating", [True, False], ids=["accumulating", "overwriting"])
def test_the_pad_row_of_the_output_is_zero(scaling: ExpertAffinityScaleMode, accumulating: bool) -> None:
    outcome = run(replace(SMALL, K=1, skip_token=False, scaling=scaling, accumulating=accumulating))
    assert not outcome.output[-1].any()


@cases(
    replace(SMALL, routing="some_tokens_nowhere"),
    replace(SMALL, routing="some_tokens_nowhere", skip_token=False),
    replace(SMALL, routing="some_tokens_nowhere", K=1, accumulating=False),
    replace(SMALL, routing="some_tokens_nowhere", T=300, cores=1),
)
def test_tokens_without_an_expert_give_zero_rows(case: Case) -> None:
    outcome = check(case)
    assert not outcome.output[: case.T : 3].any()


@cases(*(replace(SMALL, padding_blocks=n, cores=cores) for n in (0, 1, 2, 5) for cores in (1, 2)))
def test_padding_blocks_are_harmless(case: Case) -> None:
    check(case)


# Which core takes which block -----------------------------------------------------------------------------------------


@cases(
    *(
        replace(SMALL, T=T, E=1, K=1, padding_blocks=0, strategy=strategy, cores=cores)
        for T in (100, 200, 300, 600)  # N = 1, 2, 3, 5 blocks; with N = 1 core 1 has none
        for strategy in BlockShardStrategy
        for cores in (1, 2)
    )
)
def test_every_block_is_computed_once_for_any_number_of_blocks(case: Case) -> None:
    outcome = check(case)
    assert outcome.inputs["block_to_expert"].size == -(-case.T // 128)


@cases(
    replace(SMALL, T=100, E=1, K=1, padding_blocks=0, accumulating=False),
    replace(SMALL, T=100, E=1, K=1, padding_blocks=0, accumulating=False, skip_token=False, strategy=HI_LO),
    replace(SMALL, T=100, E=1, K=1, padding_blocks=0, per_core_output=True),
    replace(SMALL, T=100, E=1, K=1, padding_blocks=0, non_overlapping=True, strategy=HI_LO),
    replace(SMALL, T=100, E=1, K=1, padding_blocks=0, skip_weight=True),
    *(
        replace(SMALL, T=100, E=1, K=1, padding_blocks=0, scaling=scaling, strategy=HI_LO)
        for scaling in ExpertAffinityScaleMode
    ),
)
def test_a_core_without_blocks_does_no_harm(case: Case) -> None:
    check(case)


@cases(
    Case(strategy=HI_LO), Case(strategy=HI_LO, skip_token=False, T=600), Case(strategy=HI_LO, skip_weight=True, T=600)
)
def test_halves_instead_of_turns(case: Case) -> None:
    check(case)


# Routing --------------------------------------------------------------------------------------------------------------


@cases(
    Case(routing="one_expert", K=1, H=128),
    Case(routing="one_expert", K=1, H=128, T=520, skip_token=False),
    Case(routing="empty_experts", H=128),
    Case(routing="empty_experts", H=128, skip_token=False, E=8, K=1),
    Case(routing="every_expert", K=4, H=128),
    Case(routing="every_expert", K=4, H=128, cores=1, skip_token=False),
    Case(routing="two_halves", H=128, T=300),
    Case(E=2, K=4, H=128),
    Case(E=1, K=1, H=128),
    Case(E=33, K=3, H=128, I=16, T=150),
    Case(T=40, B=256, H=128),
    Case(T=131, K=3, H=128, seed=1),
)
def test_any_routing(case: Case) -> None:
    check(case)


def test_blocks_need_not_be_sorted_by_expert_and_pads_may_lie_anywhere() -> None:
    case = replace(SMALL, T=300, padding_blocks=3)
    inputs = build_inputs(case)
    rng = np.random.default_rng(5)
    ids = inputs["token_position_to_id"].reshape(-1, case.B)
    order = rng.permutation(len(ids))
    ids = rng.permuted(ids[order], axis=1)
    shuffled = {**inputs, "token_position_to_id": ids.reshape(-1), "block_to_expert": inputs["block_to_expert"][order]}
    for skip_weight in (False, True):
        assert_matches_reference(run(replace(case, skip_weight=skip_weight), shuffled))


def test_affinity_rows_beyond_2_to_the_24_are_exact() -> None:
    """Token times experts must not pass through fp32."""
    case = replace(SMALL, T=2**15 + 1, E=513, K=1, I=16, biases="none")
    ids = np.full((case.T, 1), -1, np.int32)
    ids[-40:, 0] = np.random.default_rng(1).permutation(case.E)[:40]
    weights = np.random.default_rng(0).uniform(0.2, 1, ids.shape)
    rows = np.flatnonzero(ids[:, 0] >= 0) * case.E + ids[ids >= 0]
    assert rows.min() > 2**24
    assert (rows % 2).any(), "fp32 holds even rows there"
    base = build_inputs(replace(case, T=40))
    hidden = np.zeros((case.T, case.H), base["hidden_states"].dtype)
    hidden[-40:] = base["hidden_states"]
    routing = route(replace(case, padding_blocks=0), ids, weights)
    assert_matches_reference(run(case, {**base, "hidden_states": hidden, **routing}))


# Forms of the output --------------------------------------------------------------------------------------------------


@cases(
    Case(per_core_output=True),
    Case(per_core_output=True, skip_token=False),
    Case(per_core_output=True, cores=1),
    Case(per_core_output=True, strategy=HI_LO, T=600),
    Case(per_core_output=True, K=1, B=256),
)
def test_per_core_slabs_hold_the_sum_and_zeros(case: Case) -> None:
    outcome = check(case)
    assert outcome.run.outputs.shape == (outcome.inputs["hidden_states"].shape[0], case.cores, case.H)


@cases(
    Case(non_overlapping=True, K=1),
    Case(non_overlapping=True, K=1, skip_token=False),
    Case(non_overlapping=True, K=1, cores=1),
    Case(non_overlapping=True, strategy=HI_LO, routing="two_halves", T=256),
    Case(non_overlapping=True, strategy=HI_LO, routing="two_halves", T=256, skip_weight=True, skip_token=False),
)
def test_shards_that_do_not_overlap_share_one_output(case: Case) -> None:
    check(case)


def test_sharing_one_output_saves_the_sum_over_cores() -> None:
    separate, shared = (run(Case(K=1, non_overlapping=promise)) for promise in (False, True))
    assert shared.run.profile.hbm_written < separate.run.profile.hbm_written
    assert_same_bits(shared.output, separate.output)


@cases(
    Case(K=1, accumulating=False),
    Case(K=1, accumulating=False, cores=1),
    Case(K=1, accumulating=False, skip_token=False, strategy=HI_LO),
    Case(routing="one_expert", K=1, accumulating=False),
    Case(K=1, accumulating=False, scaling=ExpertAffinityScaleMode.PRE_SCALE),
    Case(K=1, accumulating=False, scaling=ExpertAffinityScaleMode.NO_SCALE, B=512, T=600),
)
def test_overwriting_suffices_when_a_token_has_one_block(case: Case) -> None:
    check(case)


# Weight reuse ---------------------------------------------------------------------------------------------------------


@cases(
    *(
        Case(skip_token=skip_token, skip_weight=skip_weight, T=T, cores=cores)
        for skip_token in (True, False)
        for skip_weight in (True, False)
        for T, cores in ((600, 2), (300, 1))
    )
)
def test_all_four_skip_modes(case: Case) -> None:
    check(case)


@cases(
    Case(skip_weight=True, routing="one_expert", K=1, T=600),
    Case(skip_weight=True, routing="empty_experts", T=600),
    Case(skip_weight=True, biases="gate_up", T=600),
    Case(skip_weight=True, biases="down", T=600),
    Case(skip_weight=True, I=208, H=128, T=600),
    Case(skip_weight=True, B=512, T=1100, E=2, H=128),
)
def test_weights_stay_on_chip_while_the_expert_stays(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i"])
@pytest.mark.parametrize("skip_weight", [False, True])
def test_weights_of_one_expert_are_loaded_once_for_all_its_blocks(variant: str, skip_weight: bool) -> None:
    case = Case(
        variant=variant, routing="one_expert", K=1, T=1024, cores=1, padding_blocks=0, H=128, I=128,
        skip_weight=skip_weight,
    )  # fmt: skip
    eight, one = (run(replace(case, T=T)).run.profile.hbm_read for T in (1024, 128))
    tokens, one_expert = 7 * 128 * case.H * 2, 3 * case.H * case.I * 2
    assert eight - one < 2 * tokens + one_expert / 2, "hidden rows and old output rows, and small tables"


# Forms of the inputs --------------------------------------------------------------------------------------------------


@cases(Case(), Case(skip_weight=True, T=600), Case(strategy=HI_LO, skip_token=False))
def test_columns_and_vectors_are_the_same_input(case: Case) -> None:
    plain = run(case)
    reshaped = {
        "token_position_to_id": plain.inputs["token_position_to_id"].reshape(-1, 1),
        "block_to_expert": plain.inputs["block_to_expert"].reshape(-1, 1),
        "expert_affinities_masked": plain.inputs["expert_affinities_masked"].reshape(-1),
        "down_proj_bias": plain.inputs["down_proj_bias"][:, None],
    }
    for name, value in reshaped.items():
        assert_same_bits(run(case, plain.inputs, **{name: value}).output, plain.output)


def test_inputs_are_left_as_they_were() -> None:
    inputs = build_inputs(Case(skip_token=False))
    before = {name: value.copy() for name, value in inputs.items()}
    run(Case(skip_token=False), inputs)
    for name, value in before.items():
        assert_same_bits(inputs[name], value)


def test_inputs_may_be_read_only_and_in_another_memory_order() -> None:
    case = replace(SMALL, T=130)
    expected = run(case)
    inputs = {name: np.asfortranarray(value) for name, value in expected.inputs.items()}
    for value in inputs.values():
        value.flags.writeable = False
    assert_same_bits(run(case, inputs).output, expected.output)


def test_two_runs_give_the_same_bits() -> None:
    assert_same_bits(run(Case()).output, run(Case()).output)


@cases(Case(target="trn3"), Case(target="trn3", skip_token=False, skip_weight=True, T=600))
def test_trainium_3_runs_the_same_kernel(case: Case) -> None:
    assert_same_bits(check(case).output, run(replace(case, target="trn2")).output)
