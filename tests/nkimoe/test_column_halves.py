"""Cores that swap halves of their results agree with the reference, as cores that have a slab each do."""

from dataclasses import replace

import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_same_bits, check, plan_of, run

from nkimoe import BlockShardStrategy, ExpertAffinityScaleMode
from nkimoe.planning import plan as planning
from nkimoe.planning.output_forms import ACCUMULATED, HALVES, SLABS
from nkimoe.planning.plan import make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS

HI_LO, PING_PONG = BlockShardStrategy.HI_LO, BlockShardStrategy.PING_PONG
SMALL = Case(T=60, H=128, I=48)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for layers as small as those of tests."""
    monkeypatch.setattr(planning, "_swaps_halves", lambda request, problem, variant: True)


def output_of(case: Case) -> str:
    return plan_of(case, build_inputs(case)).output


def few_pairs(case: Case, top_k: int = 2, ep_degree: int = 4) -> str:
    """The output where so many ranks share the experts."""
    spec = case.options()["spec"]
    shared = replace(spec, shard_on_block=replace(spec.shard_on_block, top_k=top_k, ep_degree=ep_degree))
    request = Request.from_arguments({**build_inputs(case), **case.options(), "spec": shared})
    return make_plan(request, case.cores, TARGETS[case.target]).output


MX = Case(variant="shard_on_block_mx", target="trn3", H=512, I=512, weights="mxfp8", T=60)


def test_pairs_that_keep_the_pe_busy_are_halved() -> None:
    outputs = [output_of(replace(SMALL, I=I, cores=cores)) for I, cores in ((640, 2), (624, 2), (640, 1))]
    assert outputs == [HALVES, SLABS, ACCUMULATED]


def test_few_pairs_are_halved() -> None:
    assert [few_pairs(SMALL), few_pairs(SMALL, 4, 4), few_pairs(SMALL, 8, 1)] == [HALVES, SLABS, SLABS]


def test_few_pairs_with_mx_weights_are_halved_where_halves_of_rows_are_as_quick_to_describe() -> None:
    assert [few_pairs(replace(MX, H=H)) for H in (2048, 3072)] == [HALVES, SLABS]
    assert output_of(replace(MX, H=2048, I=1024)) == SLABS


def test_a_layer_is_halved_by_itself_and_right() -> None:
    check(Case(T=150, H=256, I=640, E=3, K=2, strategy=HI_LO))


@pytest.mark.usefixtures("halves")
@cases(
    Case(),
    Case(skip_token=False),
    Case(B=64, T=130),
    Case(B=200),
    Case(B=384, T=900, E=3, K=2),
    Case(dtype="float16"),
    Case(scaling=ExpertAffinityScaleMode.PRE_SCALE),
    Case(multiply_on_i=True),
    Case(checkpoints=True),
    Case(weights="fp8-row", biases="both"),
    Case(weights="int8", int8_inputs=True, B=256, T=300),
    Case(variant="shard_on_block_mx", target="trn3", H=512, I=512, weights="mxfp4", strategy=HI_LO),
    Case(variant="shard_on_block_mx", target="trn3", H=512, I=512, weights="mxfp8", B=256, T=300, biases="none"),
)
def test_each_core_adds_up_its_columns_of_all_blocks(case: Case) -> None:
    assert output_of(case) == HALVES
    check(case)


@pytest.mark.usefixtures("halves")
@cases(
    *(
        replace(SMALL, T=T, E=1, K=1, B=B, padding_blocks=0, strategy=strategy)
        for T in (1, 100, 300, 600)  # N = 1, 1, 3, 5 blocks of 128: core 1 has one block less, or none
        for B in (128, 320)
        for strategy in BlockShardStrategy
    )
)
def test_a_core_without_a_block_adds_those_of_the_other_one(case: Case) -> None:
    check(case)


@pytest.mark.usefixtures("halves")
@cases(
    *(
        Case(T=300, static_blocks=static, conditions=0, padding_blocks=padding, strategy=strategy)
        for static, padding in ((0, 0), (1, 3), (2, 9), (3, 2))
        for strategy in BlockShardStrategy
    )
)
def test_cores_swap_in_loops_and_between_unrolled_blocks_and_loops(case: Case) -> None:
    check(case)


@pytest.mark.usefixtures("halves")
@cases(
    Case(T=128, E=2, K=2, padding_blocks=0, strategy=HI_LO, biases="none"),
    Case(T=256, E=4, K=4, padding_blocks=0, strategy=PING_PONG),
)
def test_tokens_that_both_cores_compute_at_once_lose_no_result(case: Case) -> None:
    """Every token is in a block of either core at any time."""
    check(case)


def test_halves_and_slabs_differ_by_roundings_of_sums_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a choice a token nothing is added, and every bit is the same."""
    case = Case(T=300, E=6, K=1)
    slabs = run(case)
    monkeypatch.setattr(planning, "_swaps_halves", lambda *_: True)
    assert_same_bits(run(case).output, slabs.output)


def test_halves_move_less_than_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(T=600, E=2, K=1, biases="none")
    slabs = run(case).run.profile
    monkeypatch.setattr(planning, "_swaps_halves", lambda *_: True)
    halves = run(case).run.profile
    output = case.T * case.H * 2
    # No second slab is cleared; neither is read at the end, and the sum is not written.
    assert slabs.hbm_written - halves.hbm_written == 2 * output
    fresh = 2 * 128 * case.H * 2  # old rows of the first tile of a core, which are none, are read, too
    assert slabs.hbm_read - halves.hbm_read == 2 * output - fresh
