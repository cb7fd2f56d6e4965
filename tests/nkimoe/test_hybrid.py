"""Hybrids, and shard_on_block with `conditions`: unrolled blocks, then a device loop as long as `conditions` says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_matches_reference, assert_same_bits, check, run

from nkimoe import ActFnType, BlockShardStrategy, ExpertAffinityScaleMode, moe_cte
from nkimoe.kernels.stages import loop_routing
from nkisim.observe import Recorder

HYBRID = Case(variant="shard_on_i_hybrid", T=300, H=256, I=80)
ON_BLOCK = Case(T=300, H=256, I=80, static_blocks=0, conditions=1)
HALVES = replace(ON_BLOCK, strategy=BlockShardStrategy.HI_LO)


@cases(
    *(
        replace(HYBRID, static_blocks=static, padding_blocks=padding, cores=cores)
        for static in (None, 0, 1, 3, 6)
        for padding, cores in ((0, 2), (3, 2), (2, 1))
    )
)
def test_any_number_of_static_and_of_padding_blocks(case: Case) -> None:
    check(case)


@cases(
    replace(HYBRID, B=640, T=700, padding_blocks=2),
    replace(HYBRID, B=384, skip_token=False, scaling=ExpertAffinityScaleMode.PRE_SCALE_DELAYED),
    replace(HYBRID, B=200, E=3),
    *(replace(HYBRID, shuffled=True, T=700, E=3, K=1, static_blocks=static) for static in (0, 2, 5)),
    replace(HYBRID, shuffled=True, T=1500, E=2, K=1, H=128, static_blocks=2),  # experts come again within the loop
    replace(HYBRID, routing="one_expert", K=1, static_blocks=1),
    replace(HYBRID, K=1, accumulating=False, padding_blocks=3),
    replace(HYBRID, H=4096, I=3200, T=300, E=2, K=1),
    replace(HYBRID, H=384, skip_weight=True, multiply_on_i=True, biases="none"),
    replace(HYBRID, weights="fp8-row", fp8_inputs="both", static_blocks=2),
    replace(HYBRID, weights="fp8-static", dtype="float16", activation=ActFnType.SquaredReLU),
    *(replace(HYBRID, static_blocks=0, scaling=mode) for mode in ExpertAffinityScaleMode),
    *(replace(HYBRID, conditions=n, padding_blocks=1) for n in (0, 1, 2)),
)
def test_every_option(case: Case) -> None:
    check(case)


@cases(
    *(
        replace(case, static_blocks=static, padding_blocks=padding)
        for case in (ON_BLOCK, HALVES)
        for static, padding in ((None, 1), (0, 0), (0, 1), (3, 0), (2, 3))
    ),
    *(replace(case, T=900, E=9, K=2, padding_blocks=2) for case in (ON_BLOCK, HALVES)),
    replace(HALVES, T=900, E=2, padding_blocks=30, routing="one_expert", K=1),
    replace(HALVES, cores=1, T=700),
    replace(HALVES, B=384, T=2000, skip_token=False),
    replace(HALVES, B=200, skip_weight=True, per_core_output=True),
    replace(HALVES, H=4096, I=3200, T=300, E=2, K=1),
    replace(ON_BLOCK, K=1, accumulating=False, dynamic_blocks=3, static_blocks=None),
)
def test_blocks_shared_out_to_two_cores_in_the_loop(case: Case) -> None:
    check(case)


@cases(*(replace(case, T=900, E=9, K=2, padding_blocks=2) for case in (HYBRID, ON_BLOCK, HALVES)))
def test_a_long_loop_makes_its_tables_in_several_windows(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_routing, "ROUTING_COLUMNS", 4)
    check(case)


@cases(HYBRID, ON_BLOCK, HALVES)
def test_no_block_at_all(case: Case) -> None:
    case = replace(case, static_blocks=0, padding_blocks=1)
    inputs = build_inputs(case)
    inputs["conditions"] = np.zeros_like(inputs["conditions"])
    inputs["token_position_to_id"] = np.full_like(inputs["token_position_to_id"], -1)
    assert not run(case, inputs).output.any()


@cases(HYBRID, ON_BLOCK, HALVES)
def test_blocks_behind_the_conditions_are_not_computed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which shows with tokens in them. The host refuses those; a device does not look."""
    monkeypatch.delattr(moe_cte.function, "check_inputs")
    case = replace(case, static_blocks=1)
    inputs = build_inputs(case)
    for real in (1, 2, 3, 4):
        inputs["conditions"] = (np.arange(inputs["conditions"].size) < real).astype(np.int32)
        assert_matches_reference(run(case, inputs))


def test_unrolled_and_looped_blocks_give_the_same_bits() -> None:
    case = replace(HYBRID, padding_blocks=1)
    expected = run(
        replace(case, variant="shard_on_i"), {k: v for k, v in build_inputs(case).items() if k != "conditions"}
    )
    for static in (0, 2, 7):
        assert_same_bits(run(replace(case, static_blocks=static)).output, expected.output)


@cases(HYBRID, ON_BLOCK)
def test_padding_blocks_cost_nothing_in_the_loop(case: Case) -> None:
    """The same number of blocks is allocated; fewer hold tokens."""
    counts = []
    for real in (2, 4):
        case = replace(case, static_blocks=0, routing="one_expert", K=1, T=128 * real, padding_blocks=6 - real)
        recorder = Recorder()
        run(case, observers=[recorder])
        counts.append(sum(e.opcode == "nc_matmul" for e in recorder.events))
    assert counts[1] == 2 * counts[0]


@pytest.mark.parametrize("static", [0, 3])
def test_weights_of_the_next_block_load_while_this_one_computes(static: int) -> None:
    """In program order every gate/up load but the first stands before a down projection of the block before it."""
    case = replace(HYBRID, static_blocks=static, E=4, K=1, padding_blocks=0, biases="none", cores=1)
    recorder = Recorder()
    outcome = run(case, observers=[recorder])
    weight = outcome.inputs["gate_up_proj_weight"].nbytes
    order = []
    for event in recorder.events:
        if event.opcode == "dma_copy" and any(a.storage.nbytes == weight for a in event.reads):
            order.append("load")
        elif event.indexed_rows and any(a.storage.name == "moe_cte__output" for a in event.writes):
            order.append("block")
    blocks = [i for i, what in enumerate(order) if what == "block"]
    assert order[0] == "load"
    assert all("load" in order[: first + 1] for first in blocks)
    before_first = order[: blocks[0]]
    assert before_first.count("load") == 2, "the first block's weights and the second's"
