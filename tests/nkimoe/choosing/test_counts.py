"""What is counted from a plan is what a simulated run does."""

from dataclasses import replace

import pytest

from nkimoe.choosing.counter import Counter
from nkimoe.choosing.layer import Layer
from nkimoe.choosing.load import ExpectedLoad
from nkimoe.choosing.row_work import row_work
from nkimoe.cli.experiment import Progress, Setup, run_experiment
from nkimoe.models import Model
from nkimoe.planning.output_forms import BY_CHOICE, HALVES
from nkimoe.routing.made_up import UNIFORM
from nkimoe.routing.rule import RoutingRule
from nkisim.machine import load_machine

SILENT = Progress(lambda name, total: None, lambda: None)
MODEL = Model(512, 256, 4, RoutingRule(2), "none")
ASKED = Setup(
    "small", 1, 512, "shard_on_block", "trn2", 2, 128, "bf16", "a text", numerics=False, routing=UNIFORM, sizes=MODEL
)


def test_expected_pairs_are_spread_about_their_mean():
    load = ExpectedLoad(4096, 8, 32, 128)
    assert load.pairs == 8192
    assert load.by_expert.sum() == pytest.approx(8192, rel=0.01)
    assert 10 < load.by_expert.std() < 20  # the square root of 4096 / 16 * 15 / 16
    blocks = load.blocks(128, 200)
    assert blocks.filled.sum() == pytest.approx(8192, rel=0.01)
    assert set(blocks.experts.tolist()) == set(range(32))


def test_where_each_token_has_every_expert_nothing_is_spread():
    blocks = ExpectedLoad(300, 2, 2, 2).blocks(128, 6)
    assert blocks.experts.tolist() == [0, 0, 0, 1, 1, 1]
    assert blocks.filled.tolist() == [128, 128, 44] * 2


@pytest.mark.parametrize("variant", ["shard_on_block", "shard_on_i", "shard_on_i_hybrid"])
@pytest.mark.parametrize("block_size", [64, 128])
@pytest.mark.parametrize("slots", ["pairs", "tokens"])
@pytest.mark.parametrize(("weights", "nbytes"), [("bf16", 2.0), ("fp8-row", 1.0)])
def test_bytes_of_hbm_are_those_of_the_run(variant, block_size, slots, weights, nbytes):
    asked = replace(ASKED, variant=variant, block_size=block_size, slots=slots, weights=weights)
    result = run_experiment(asked, SILENT)
    load, machine = ExpectedLoad(512, 2, 4, 4), load_machine("trn2")
    blocks, layer = load.blocks(block_size, result.plan.problem.N), Layer(load, nbytes, has_row_scales=nbytes < 2)
    cores = list(Counter(result.plan, blocks, layer, machine).cores())
    phases = [each for core in cores for each in (*core.unrolled, *core.looped, core.edges)]
    counted = sum(work.hbm for work in phases) * machine.number("hbm.stack_rate")
    profile = result.run.profile
    assert counted == pytest.approx(profile.hbm_read + profile.hbm_written, rel=0.15)


@pytest.mark.parametrize("biases", [False, True])
def test_rows_of_scales_are_work_of_the_vector_engine_and_behind_a_bias_of_gpsimd_too(biases):
    plan = run_experiment(ASKED, SILENT).plan
    load, machine = ExpectedLoad(512, 2, 4, 4), load_machine("trn2")
    blocks = load.blocks(128, plan.problem.N)
    plain, rows = (
        next(Counter(plan, blocks, Layer(load, 1.0, biases, has_row_scales=has), machine).cores()).unrolled.fresh
        for has in (False, True)
    )
    assert rows.tensor == plain.tensor
    assert rows.vector > plain.vector
    assert (rows.gpsimd > plain.gpsimd) == biases


HALVED = replace(ASKED, sizes=Model(512, 768, 4, RoutingRule(2), "none"), slots="tokens")
"""Cores swap halves of their results."""


@pytest.mark.parametrize("asked", [ASKED, replace(ASKED, slots="tokens"), HALVED], ids=["choices", "slabs", "halves"])
def test_rows_that_gpsimd_describes_are_those_of_the_run(asked):
    result = run_experiment(asked, SILENT)
    load, machine = ExpectedLoad(512, 2, 4, 4), load_machine("trn2")
    blocks = load.blocks(128, result.plan.problem.N)
    core, _ = Counter(result.plan, blocks, Layer(load, 2.0), machine).cores()
    ns = sum(work.gpsimd for work in (*core.unrolled, *core.looped))
    profile = result.run.profile
    busy = profile.engines["gpsimd"].utilization * profile.latency_us * 1e3
    assert ns == pytest.approx(busy, rel=0.2)


def test_a_chain_of_old_rows_has_the_rows_that_are_described_and_their_way():
    by_output = {}
    for asked in (ASKED, HALVED):
        plan = run_experiment(asked, SILENT).plan
        by_output[plan.output] = row_work(plan, 0, load_machine("trn2"), 128.0, 1)
    assert by_output[BY_CHOICE].chain == 0
    halves, choices = by_output[HALVES], by_output[BY_CHOICE]
    assert halves.gpsimd > choices.gpsimd
    assert halves.chain > halves.gpsimd - choices.gpsimd


@pytest.mark.parametrize(
    ("variant", "intermediate", "transfers"),
    [("shard_on_block", 256, 2), ("shard_on_block", 320, 3), ("shard_on_i", 512, 4), ("shard_on_i", 640, 6)],
    ids=["whole rows", "rows beyond tiles", "halves of rows", "halves of rows beyond tiles"],
)
def test_each_transfer_of_weights_that_is_started_counts(variant, intermediate, transfers):
    asked = replace(ASKED, variant=variant, sizes=Model(512, intermediate, 4, RoutingRule(2), "none"))
    plan = run_experiment(asked, SILENT).plan
    load, machine = ExpectedLoad(512, 2, 4, 4), load_machine("trn2")
    core, _ = Counter(plan, load.blocks(128, plan.problem.N), Layer(load, 2.0), machine).cores()
    parts = sum(work.parts for work in (*core.unrolled, *core.looped))
    issue = sum(work.issue for work in (*core.unrolled, *core.looped))
    each = machine.number("dma.issue_hwdge") + machine.number("dma.dynamic_address")
    assert issue / parts / each == pytest.approx(transfers)


def test_an_engine_is_not_counted_to_work_longer_than_it_does():
    result = run_experiment(ASKED, SILENT)
    load = ExpectedLoad(512, 2, 4, 4)
    blocks = load.blocks(128, result.plan.problem.N)
    core, _ = Counter(result.plan, blocks, Layer(load, 2.0), load_machine("trn2")).cores()
    ns = sum(work.tensor for work in (*core.unrolled, *core.looped))
    busy = result.run.profile.engines["tensor"].utilization * result.run.profile.latency_us * 1e3
    assert 0.5 * busy < ns < 1.05 * busy  # its clock is halved where it waits for weights
